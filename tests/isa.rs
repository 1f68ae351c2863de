//! `KOLIBRI_ISA` and `KOLIBRI_FUSE`, which a process reads once: each choice is made by a child process.
#![cfg(feature = "operators")]

mod common;

use kolibri::{Activation, Chain, Conv2d, ConvGeometry, Error, Level, Weights};

/// What a child selects where `KOLIBRI_ISA` is `list`: the name of a level, or the error.
fn selected(list: Option<&str>) -> String {
    answer("child", "KOLIBRI_ISA", list)
}

/// What a child says where `variable` is `value`.
fn answer(child: &str, variable: &str, value: Option<&str>) -> String {
    let mut command = common::this_test(child);
    command.env_remove("KOLIBRI_ISA").env_remove("KOLIBRI_FUSE");
    value.map(|value| command.env(variable, value));
    let output = command.output().expect("the child starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // The harness may have begun the line.
    let answer = text.lines().find_map(|line| line.split_once("SELECTED "));
    answer.unwrap_or_else(|| panic!("no answer in {text}")).1.into()
}

#[test]
#[ignore = "what the other test starts"]
fn child() {
    match Level::selected() {
        Ok(kernels) => println!("SELECTED {}", kernels.level.name()),
        Err(error) => println!("SELECTED error {error}"),
    }
    assert_eq!(Level::selected().map(|kernels| kernels.level), Level::selected().map(|kernels| kernels.level));
}

#[test]
fn the_variable_narrows_the_choice() {
    let levels: Vec<_> = Level::available().collect();
    let best = levels.last().expect("the portable level").name();
    assert_eq!(selected(None), best);
    assert_eq!(selected(Some("")), best);
    assert_eq!(selected(Some("portable")), "portable");
    for level in &levels {
        assert_eq!(selected(Some(level.name())), level.name());
        assert_eq!(selected(Some(&format!("portable, {}", level.name()))), level.name());
    }
    let second = levels.iter().rev().nth(1).map_or("portable", |level| level.name());
    assert_eq!(selected(Some(&format!("-{best}"))), second);
    assert_eq!(selected(Some(&format!("-{best},+{best}"))), best);

    // Levels that another CPU has.
    let available = |name: &str| levels.iter().any(|level| level.name() == name);
    for level in Level::ALL.iter().filter(|level| !available(level.name())) {
        assert_eq!(selected(Some(level.name())), "portable");
        assert_eq!(selected(Some(&format!("-{}", level.name()))), best);
        assert_eq!(selected(Some(&format!("{},+{best}", level.name()))), best);
    }
}

#[test]
fn an_unknown_level_is_an_error() {
    for list in ["nonsense", "avx2,nonsense", "-nonsense"] {
        let expected = format!("error {}", Error::Isa { name: "nonsense".into() });
        assert_eq!(selected(Some(list)), expected, "{list}");
        assert!(Level::ALL.iter().all(|level| expected.contains(level.name())), "{expected}");
    }
}

#[test]
fn many_threads_choose_the_same() {
    let select = || Level::selected().expect("a level").level;
    let levels = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(select)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert!(levels.iter().all(|&level| level == select()), "{levels:?}");
}

#[test]
#[ignore = "what the other test starts"]
fn fusing_child() {
    let conv = |geometry: ConvGeometry| {
        let weights = vec![1.0; geometry.cout * geometry.cin];
        Conv2d::f32(&geometry, Weights::oihw(&weights), None, Activation::None).expect("valid")
    };
    let chain = Chain::new(vec![conv(ConvGeometry::new(3, 3, [1, 1])), conv(ConvGeometry::new(3, 5, [1, 1]))]);
    match chain {
        Ok(chain) => println!("SELECTED {:?}", [4, 4000].map(|size| chain.strip_rows([1, size, 4]).expect("valid"))),
        Err(error) => println!("SELECTED error {error}"),
    }
}

#[test]
fn the_variable_overrides_the_rule() {
    let answer = |value| answer("fusing_child", "KOLIBRI_FUSE", value);
    let [never, all] = ["[None, None]", "[Some(4), Some(4000)]"];
    assert_eq!(answer(None), never);
    assert_eq!(answer(Some("")), never);
    assert_eq!(answer(Some("never")), never);
    assert_eq!(answer(Some("always")), all);
    assert_eq!(answer(Some("sometimes")), format!("error {}", Error::Fuse { value: "sometimes".into() }));
}

//! The C ABI as its users have it: the library is built with Cargo, and programs in C, C++ and Python are run with it.

mod common;

use common::{Rng, runner};
use kolibri::{Activation, ConvGeometry, Image, ImageMut, Level, Padding, Weights, reference};
use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn succeed(what: &str, command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// The directory of `libkolibri.so` and `libkolibri.a`, which are built once.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Not where this test was built: Cargo is in use there, and features may differ.
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["rustc", "--quiet", "--package", "kolibri", "--lib", "--features", "capi"]);
        cargo.args(["--crate-type", "cdylib,staticlib", "--target", env!("KOLIBRI_TARGET"), "--target-dir"]).arg(&to);
        succeed("the library", &mut cargo);
        to.join(env!("KOLIBRI_TARGET")).join("debug")
    })
}

/// What compilers and programs of the host cannot do for another machine is left out there.
fn native() -> bool {
    let [target, host] = [env!("KOLIBRI_TARGET"), env!("KOLIBRI_HOST")];
    target == host
}

/// A program that runs here, be it by an emulator that Cargo was told of.
fn program(path: &Path) -> Command {
    let mut words: Vec<OsString> = runner().unwrap_or_default().into_iter().map(OsString::from).collect();
    words.push(path.into());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// What an archive of Rust needs besides itself.
const NEEDS: [&str; 4] = ["-lgcc_s", "-lpthread", "-ldl", "-lm"];

/// An example, compiled as C99 and, for this machine, as C++17, against the archive.
fn examples(name: &str) -> Vec<PathBuf> {
    [false, true].into_iter().filter(|&cpp| native() || !cpp).map(|cpp| example(name, cpp)).collect()
}

fn example(name: &str, cpp: bool) -> PathBuf {
    let source = root().join("examples/c").join(name).with_extension("c");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", if cpp { "cpp" } else { "c" }));
    let mut build = cc::Build::new();
    build.cargo_metadata(false).target(env!("KOLIBRI_TARGET")).host(env!("KOLIBRI_HOST")).opt_level(1).cpp(cpp);
    let mut compile = build.get_compiler().to_command();
    compile.args(if cpp { ["-xc++", "-std=c++17"] } else { ["-xc", "-std=c99"] });
    compile.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(root().join("include")).arg(source);
    compile.args(["-xnone", "-o"]).arg(&to).arg(library().join("libkolibri.a")).args(NEEDS);
    succeed(name, &mut compile);
    to
}

/// The separable block of `examples/c/separable.c` with the answer of the reference, as its file has it.
fn separable() -> Vec<u8> {
    let (h, w, cin, cout, [oh, ow]) = (9, 10, 11, 13, [5, 5]);
    let mut rng = Rng::new(1);
    let mut floats = |len: usize| (0..len).map(|_| rng.range(0, 2000) as f32 / 1000.0 - 1.0).collect::<Vec<f32>>();
    let (x, w_depthwise, b_depthwise) = (floats(h * w * cin), floats(cin * 9), floats(cin));
    let (w_pointwise, b_pointwise) = (floats(cout * cin), floats(cout));
    let depthwise = ConvGeometry::new(cin, cin, [3, 3]).stride([2, 2]).padding(Padding::Same).groups(cin);
    let conv = |geometry: ConvGeometry, x: &[f32], [h, w]: [usize; 2], weights, bias| {
        let mut y = vec![0.0; oh * ow * geometry.cout];
        let x = Image::nhwc(x, 1, h, w, geometry.cin).expect("x");
        let to = ImageMut::nhwc(&mut y, 1, oh, ow, geometry.cout).expect("y");
        reference::conv2d(x, None, to, &geometry, Weights::oihw(weights), Some(bias), Activation::Relu6)
            .expect("valid");
        y
    };
    let between = conv(depthwise, &x, [h, w], &w_depthwise, &b_depthwise);
    let y = conv(ConvGeometry::new(cin, cout, [1, 1]), &between, [oh, ow], &w_pointwise, &b_pointwise);
    let all = [x, w_depthwise, b_depthwise, w_pointwise, b_pointwise, y].concat();
    all.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn a_separable_block_in_c() {
    let (path, bytes) = (root().join("examples/c/separable.bin"), separable());
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &bytes).expect("written");
    }
    assert!(fs::read(&path).expect("separable.bin") == bytes, "separable.bin is stale: run this test with BLESS=1");
    for compiled in examples("separable") {
        for level in std::iter::once(None).chain(Level::available().map(|level| Some(level.name()))) {
            let mut run = program(&compiled);
            if let Some(level) = level {
                run.env("KOLIBRI_ISA", level);
            }
            let output = succeed("separable", run.arg(&path));
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(level.is_none_or(|level| text.contains(&format!("level {level},"))), "{level:?}: {text}");
        }
    }
}

#[test]
fn misuse_in_c() {
    for compiled in examples("misuse") {
        let output = succeed("misuse", &mut program(&compiled));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0 failures\n");
    }
}

/// What the shared library shows is what the header declares.
#[test]
fn exported_symbols() {
    if !native() {
        return println!("SKIPPED: nm is the host's");
    }
    let mut nm = Command::new("nm");
    let output = succeed("nm", nm.args(["--dynamic", "--defined-only"]).arg(library().join("libkolibri.so")));
    let output = String::from_utf8_lossy(&output.stdout);
    let mut exported: Vec<&str> = output.lines().filter_map(|line| line.split_whitespace().last()).collect();
    exported.sort_unstable();
    let header = fs::read_to_string(root().join("include/kolibri.h")).expect("the header");
    let declared = |line: &str| {
        let name = line.split('(').next()?.rsplit([' ', '*']).next()?.to_owned();
        (line.contains('(') && !line.starts_with([' ', '#', '/']) && name.starts_with("kolibri_")).then_some(name)
    };
    let mut declared: Vec<String> = header.lines().filter_map(declared).collect();
    declared.sort_unstable();
    assert_eq!(exported, declared);
}

#[test]
fn a_convolution_in_python() {
    if !native() {
        return println!("SKIPPED: Python is the host's");
    }
    let python = || Command::new(env::var("PYTHON").unwrap_or("python3".into()));
    if !python().args(["-c", "import numpy"]).output().is_ok_and(|output| output.status.success()) {
        assert!(env::var_os("CI_HAS_NUMPY").is_none(), "CI has numpy");
        return println!("SKIPPED: no Python with numpy");
    }
    let check = root().join("examples/python/check.py");
    // Nothing is left behind in the sources.
    succeed("check.py", python().arg("-B").arg(check).arg(library().join("libkolibri.so")));
}

//! The emitted text of every level and of the tables is what `tests/golden/` says, on any host. `BLESS=1` rewrites it: the
//! difference then shows in review.

#[allow(dead_code, missing_docs)]
#[path = "../codegen/mod.rs"]
mod codegen;

use codegen::{
    dwconv_f32, emit_level, gemm_i8_amx, interleave,
    level::{HALVES, LEVELS, all},
    tables,
};
use kolibri::kernels::{AMX_K, AMX_ROWS, DW_SHAPES, INTERLEAVED, TAPS_PIXELS};
use std::{collections::BTreeMap, fs, path::Path};

/// File name and text of all that is emitted.
fn emitted() -> BTreeMap<String, String> {
    let mut files: BTreeMap<_, _> = LEVELS
        .iter()
        .chain(HALVES)
        .map(|level| (format!("{}.rs.txt", level.name), emit_level(level, |_| true).0))
        .collect();
    files.insert("levels.rs.txt".into(), tables::emit_levels());
    for arch in ["x86_64", "aarch64"] {
        let families: Vec<_> = all(arch, |_| true).map(|level| (level, emit_level(level, |_| true).1)).collect();
        files.insert(format!("tables_{arch}.rs.txt"), tables::emit_tables(arch, &families));
    }
    files
}

/// What the descriptions and the crate both say.
#[test]
fn shapes_are_those_of_the_crate() {
    assert_eq!((gemm_i8_amx::ROWS, gemm_i8_amx::K), (AMX_ROWS, AMX_K));
    assert_eq!((dwconv_f32::SHAPES, dwconv_f32::TAPS_PIXELS), (DW_SHAPES, TAPS_PIXELS));
    assert_eq!(interleave::GROUPS, INTERLEAVED);
}

#[test]
fn emitted_text_is_the_golden_text() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let emitted = emitted();
    if std::env::var_os("BLESS").is_some() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("tests/golden can be made");
        emitted.iter().for_each(|(file, text)| fs::write(directory.join(file), text).expect("can be written"));
        return;
    }
    let golden: Vec<_> = fs::read_dir(&directory)
        .expect("tests/golden: BLESS=1 makes it")
        .map(|entry| entry.expect("can be read").file_name().into_string().expect("UTF-8"))
        .collect();
    let stale = golden.iter().find(|file| !emitted.contains_key(*file));
    assert_eq!(stale, None, "emitted no more");
    for (file, text) in &emitted {
        let golden = fs::read_to_string(directory.join(file)).unwrap_or_default();
        if golden == *text {
            continue;
        }
        let (mut old, mut new, mut line) = (golden.lines(), text.lines(), 1);
        loop {
            let (old, new) = (old.next(), new.next());
            assert!(
                old == new && old.is_some(),
                "tests/golden/{file}:{line}: golden {old:?}, emitted {new:?}; BLESS=1 accepts all of it"
            );
            line += 1;
        }
    }
}

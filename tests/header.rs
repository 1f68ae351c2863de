//! `include/kolibri.h` is what the sources of the C ABI say. `BLESS=1` writes it.

use std::{fs, path::Path};

#[test]
fn the_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("a configuration");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["info", "status", "describe", "operator", "create", "run", "stream"] {
        builder = builder.with_src(root.join("src/capi").join(file).with_extension("rs"));
    }
    let mut text = Vec::new();
    builder.generate().expect("bindings").write(&mut text);
    let text = without_safety(&String::from_utf8(text).expect("text"));
    let path = root.join("include/kolibri.h");
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(root.join("include")).expect("a directory");
        fs::write(&path, &text).expect("written");
    }
    let held = fs::read_to_string(&path).expect("include/kolibri.h");
    assert!(held == text, "include/kolibri.h is not what src/capi says: run this test with BLESS=1");
}

/// What Rust asks of an unsafe function is said in C parameter by parameter.
fn without_safety(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line == " * # Safety" {
            inside = true;
            out.truncate(out.len() - " *\n".len());
        }
        inside &= line != " */";
        if !inside {
            out += line;
            out += "\n";
        }
    }
    out
}

//! Runs the generator: for each level of the target architecture that a feature asks for `OUT_DIR/<level>.rs`, and the
//! tables.

#[path = "codegen/mod.rs"]
mod codegen;

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=codegen");
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?; // the target's, never cfg!(..): that is the host's

    // For the tests of the C ABI, which compile for the same machine.
    println!("cargo::rustc-env=KOLIBRI_TARGET={}", env::var("TARGET")?);
    println!("cargo::rustc-env=KOLIBRI_HOST={}", env::var("HOST")?);

    let mut families = Vec::new();
    let mut modules = String::new();
    for level in codegen::level::all(&arch, on) {
        let (text, of_level) = codegen::emit_level(level, on);
        let file = out.join(format!("{}.rs", level.name));
        fs::write(&file, text)?;
        modules += &format!("pub mod {} {{ include!({:?}); }}\n", level.name, file);
        families.push((level, of_level));
    }
    fs::write(out.join("kernels.rs"), modules)?;
    fs::write(out.join("levels.rs"), codegen::tables::emit_levels())?;
    fs::write(out.join("tables.rs"), codegen::tables::emit_tables(&arch, &families))?;
    Ok(())
}

/// Whether a Cargo feature of the crate is on.
fn on(feature: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", feature.to_uppercase().replace('-', "_"))).is_some()
}

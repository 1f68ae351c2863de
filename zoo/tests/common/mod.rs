//! What the tests of whole networks share.

#![allow(dead_code)] // each test uses some of it

use anyhow::{Context, Result};
use kolibri::{Level, kernels::Kernels};
use kolibri_zoo::model::directory;
use std::{fs, path::PathBuf};

/// The networks with weights.
pub const NETWORKS: [&str; 2] = ["efficientnet_lite0", "mobilenet_v2"];
/// The photo of the golden logits, and its index in `reference.safetensors`.
pub const CHELSEA: usize = 0;
/// aarch64 runs under emulation, a thousand times slower: there one photo must do.
pub const EMULATED: bool = cfg!(target_arch = "aarch64");

/// A file of a network.
pub fn path(network: &str, file: &str) -> PathBuf {
    directory("models").join(network).join(file)
}

/// The levels of this CPU, and a line for each that it lacks.
pub fn levels() -> Vec<&'static Kernels> {
    let here = Level::ALL.iter().filter(|level| ["any", std::env::consts::ARCH].contains(&level.arch()));
    let levels = here.filter_map(|level| {
        let kernels = level.kernels();
        if kernels.is_none() {
            println!("SKIPPED level {}", level.name());
        }
        kernels
    });
    levels.filter(|kernels| !EMULATED || kernels.level != Level::Portable).collect()
}

/// Levels whose multiply-adds round once, so that they equal the reference bit for bit.
pub fn fused_levels() -> Vec<&'static Kernels> {
    levels().into_iter().filter(|kernels| kernels.fma).collect()
}

pub fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

fn golden_path(network: &str) -> PathBuf {
    directory("tests").join("golden").join(format!("logits_{network}.bits"))
}

/// Eight hexadecimal digits a line.
pub fn golden(network: &str) -> Result<Vec<u32>> {
    let path = golden_path(network);
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    text.lines().map(|line| Ok(u32::from_str_radix(line, 16)?)).collect()
}

/// Whether the golden files are to be written.
pub fn blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Compares with the golden file, or writes it where `BLESS` is set.
pub fn check_golden(network: &str, bits: &[u32]) -> Result<()> {
    if blessing() {
        fs::create_dir_all(directory("tests").join("golden"))?;
        let text: String = bits.iter().map(|bits| format!("{bits:08x}\n")).collect();
        fs::write(golden_path(network), text)?;
    }
    assert!(golden(network)? == bits, "{network}: the reference differs from its golden bits");
    Ok(())
}

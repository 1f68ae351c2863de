//! Vocabularies: for each instruction set the same words, `load`, `fma`, `store_n` and so on. No loops.
//!
//! `load_n` and `store_n` touch only the first `n` values; lanes above are zero on load.

#[cfg(all(target_arch = "x86_64", feature = "amx"))]
pub mod amx;
#[cfg(all(target_arch = "x86_64", feature = "avx2"))]
pub mod avx2;
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
pub mod avx512;
#[cfg(all(target_arch = "x86_64", feature = "avx512vnni"))]
pub mod avx512vnni;
#[cfg(all(target_arch = "x86_64", feature = "avx512vnni"))]
pub mod avx512vnni_half;
#[cfg(all(target_arch = "x86_64", feature = "avxvnni"))]
pub mod avxvnni;
#[cfg(target_arch = "aarch64")]
pub mod neon;
#[cfg(all(target_arch = "aarch64", feature = "neon_dotprod"))]
pub mod neon_dotprod;
#[cfg(all(target_arch = "aarch64", feature = "neon_i8mm"))]
pub mod neon_i8mm;
mod part;
#[cfg_attr(not(feature = "portable"), allow(dead_code))] // the words of depthwise kernels of a shape
pub mod portable;
#[cfg(all(target_arch = "x86_64", any(feature = "avxvnni", feature = "avx512vnni")))]
mod rows256;

//! Vocabularies: for each instruction set the same words, `load`, `fma`, `store_n` and so on. No loops.
//!
//! `load_n` and `store_n` touch only the first `n` values; lanes above are zero on load.

#[cfg(target_arch = "x86_64")]
pub mod amx;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(target_arch = "x86_64")]
pub mod avx512;
#[cfg(target_arch = "x86_64")]
pub mod avx512vnni;
#[cfg(target_arch = "x86_64")]
pub mod avx512vnni_half;
#[cfg(target_arch = "x86_64")]
pub mod avxvnni;
#[cfg(target_arch = "aarch64")]
pub mod neon;
#[cfg(target_arch = "aarch64")]
pub mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
pub mod neon_i8mm;
mod part;
pub mod portable;
#[cfg(target_arch = "x86_64")]
mod rows256;

//! Rows of 16 bytes, of which masks take parts.

use super::mask;
use core::arch::x86_64::*;

pub use super::super::avx2::{Row, load_row16, no_row16, store_row16, zip2_x8, zip2_x32, zip3_x8, zip3_x32};

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_row16_n(p: *const u8, n: usize) -> Row {
    // SAFETY: a masked byte is not touched; `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe { _mm_maskz_loadu_epi8(mask(n), p.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_row16_n(p: *mut u8, x: Row, n: usize) {
    // SAFETY: a masked byte is not touched; `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe { _mm_mask_storeu_epi8(p.cast(), mask(n), x) }
}

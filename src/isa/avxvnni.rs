//! AVX-VNNI: AVX2 with products of four bytes.

pub use super::{
    avx2::*,
    rows256::{interleave, load_row, load_row_flipped, store_unit},
};
use core::arch::x86_64::*;

/// `c` plus, in each lane, the products of four u8 and four i8. Exact: it does not saturate on the way.
#[inline]
#[target_feature(enable = "avx2,fma,avxvnni")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm256_dpbusd_avx_epi32(c, x, y)
}

/// `load_row_flipped` of fewer channels.
#[inline]
#[target_feature(enable = "avx2,fma,avxvnni")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> __m256i {
    // SAFETY: `min(n, 32)` bytes, by the contract of the kernel's argument.
    let bytes = unsafe { load_bytes_n(p, n) };
    _mm256_xor_si256(bytes, _mm256_set1_epi8(flip as i8))
}

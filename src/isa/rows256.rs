//! Rows of a depthwise window in registers of 256 bits, for products of four bytes.

use core::arch::x86_64::*;

/// A row of a depthwise window: 32 channels.
pub use super::avx2::load_bytes as load_row;

/// `load_row`, some bits of its bytes flipped.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> __m256i {
    // SAFETY: 32 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm256_loadu_si256(p.cast()) };
    _mm256_xor_si256(bytes, _mm256_set1_epi8(flip as i8))
}

/// Units of the four rows, the two registers of half H; see `DwI8::channel` for the order.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn interleave<const H: usize>(r: [__m256i; 4]) -> [__m256i; 2] {
    let (a, b) = if H == 0 {
        (_mm256_unpacklo_epi8(r[0], r[1]), _mm256_unpacklo_epi8(r[2], r[3]))
    } else {
        (_mm256_unpackhi_epi8(r[0], r[1]), _mm256_unpackhi_epi8(r[2], r[3]))
    };
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}

/// What `interleave` returned.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_unit(p: *mut u8, x: __m256i) {
    // SAFETY: eight units of four bytes, by the contract of the kernel's argument.
    unsafe { _mm256_storeu_si256(p.cast(), x) }
}

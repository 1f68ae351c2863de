//! Rows of 16 bytes, as on every level: what permutations move.

use super::super::part;
use core::arch::x86_64::*;

/// 16 bytes.
pub type Row = __m128i;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_row16(p: *const u8) -> Row {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { _mm_loadu_si128(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_row16_n(p: *const u8, n: usize) -> Row {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe { load_row16(part::load(p, n).to_le_bytes().as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_row16(p: *mut u8, x: Row) {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { _mm_storeu_si128(p.cast(), x) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_row16_n(p: *mut u8, x: Row, n: usize) {
    let mut bytes = [0u8; 16];
    // SAFETY: 16 bytes of the array, and `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe {
        store_row16(bytes.as_mut_ptr(), x);
        part::store(p, u128::from_le_bytes(bytes), n);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn no_row16() -> Row {
    _mm_setzero_si128()
}

/// Byte by byte.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn zip2_x8(a: Row, b: Row) -> [Row; 2] {
    [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn zip2_x32(a: Row, b: Row) -> [Row; 2] {
    [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)]
}

/// `11 * (p - 2)` modulo 16: of the third row the byte for place `p`. The second row's are one further on, the first's two.
const FROM: [u8; 18] = [10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5];
/// Which places are the third row's; the second's are one further on.
const THIRDS: [u8; 18] = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255];

/// Byte `j` of row `i` goes to `3 * j + i`. Modulo 16 no two bytes of a row go to the same place: each row is permuted
/// once, and each row of the result takes every third byte of each of them.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn zip3_x8(a: Row, b: Row, c: Row) -> [Row; 3] {
    // SAFETY: 16 of 18 bytes.
    let from = |first: usize| unsafe { load_row16(FROM.as_ptr().add(first)) };
    let (a, b, c) = (_mm_shuffle_epi8(a, from(2)), _mm_shuffle_epi8(b, from(1)), _mm_shuffle_epi8(c, from(0)));
    // SAFETY: as above.
    let places = |first: usize| unsafe { load_row16(THIRDS.as_ptr().add(first)) };
    let (second, third) = (places(1), places(0));
    let row = |a, b, c| _mm_blendv_epi8(_mm_blendv_epi8(a, b, second), c, third);
    [row(a, b, c), row(b, c, a), row(c, a, b)]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn zip3_x32(a: Row, b: Row, c: Row) -> [Row; 3] {
    let [a, b, c] = unzip(unzip([a, b, c].map(|row| _mm_castsi128_ps(row))));
    [_mm_castps_si128(a), _mm_castps_si128(b), _mm_castps_si128(c)]
}

/// Of all twelve elements those at even places, then the others: what was at `i` is at `6 * i`, modulo 11. Twice that is
/// `3 * i`, where `zip3_x32` wants it.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn unzip([a, b, c]: [__m128; 3]) -> [__m128; 3] {
    [_mm_shuffle_ps::<0x88>(a, b), _mm_shuffle_ps::<0xd8>(c, a), _mm_shuffle_ps::<0xdd>(b, c)]
}

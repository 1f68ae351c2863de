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

/// Four times each row beside the one eight further on.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn transpose_bytes(r: [Row; 16]) -> [Row; 16] {
    zip(zip(zip(zip(r))))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn zip(r: [Row; 16]) -> [Row; 16] {
    let (low, high) = (|i: usize| _mm_unpacklo_epi8(r[i], r[i + 8]), |i: usize| _mm_unpackhi_epi8(r[i], r[i + 8]));
    [
        low(0),
        high(0),
        low(1),
        high(1),
        low(2),
        high(2),
        low(3),
        high(3),
        low(4),
        high(4),
        low(5),
        high(5),
        low(6),
        high(6),
        low(7),
        high(7),
    ]
}

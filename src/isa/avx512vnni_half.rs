//! AVX-512 VNNI on registers of 256 bits.

pub use super::{
    avx2::*,
    rows256::{interleave, load_row, load_row_flipped, store_unit},
};
use core::arch::x86_64::*;

/// `c` plus, in each lane, the products of four u8 and four i8. Exact: it does not saturate on the way.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm256_dpbusd_epi32(c, x, y)
}

/// The first `n` bytes.
fn first(n: usize) -> __mmask32 {
    ((1u64 << n.min(32)) - 1) as u32
}

/// `load_row_flipped` of fewer channels.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> __m256i {
    // SAFETY: `min(n, 32)` bytes, by the contract of the kernel's argument; masked ones are not touched.
    let bytes = unsafe { _mm256_maskz_loadu_epi8(first(n), p.cast()) };
    _mm256_xor_si256(bytes, _mm256_set1_epi8(flip as i8))
}

#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn store_bytes_n(p: *mut u8, x: Bytes, n: usize) {
    // SAFETY: as above.
    unsafe { _mm256_mask_storeu_epi8(p.cast(), first(n), x) }
}

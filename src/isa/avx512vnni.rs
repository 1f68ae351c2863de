//! AVX-512 VNNI: AVX-512 with products of four bytes.

pub use super::avx512::*;
use core::arch::x86_64::*;

/// `c` plus, in each lane, the products of four u8 and four i8. Exact: it does not saturate on the way.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm512_dpbusd_epi32(c, x, y)
}

/// A row of a depthwise window: 64 channels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn load_row(p: *const u8, flip: u8) -> __m512i {
    // SAFETY: 64 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm512_loadu_si512(p.cast()) };
    _mm512_xor_si512(bytes, _mm512_set1_epi8(flip as i8))
}

/// Units of the four rows; see `DwI8::channel` for the order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn interleave(r: [__m512i; 4]) -> [Units; 4] {
    let (a, b) = (_mm512_unpacklo_epi8(r[0], r[1]), _mm512_unpackhi_epi8(r[0], r[1]));
    let (c, d) = (_mm512_unpacklo_epi8(r[2], r[3]), _mm512_unpackhi_epi8(r[2], r[3]));
    let low = |x, y| _mm512_unpacklo_epi16(x, y);
    let high = |x, y| _mm512_unpackhi_epi16(x, y);
    [low(a, c), high(a, c), low(b, d), high(b, d)]
}

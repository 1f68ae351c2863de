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
pub use super::avx512::load_bytes as load_row;

/// `load_row`, some bits of its bytes flipped.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> __m512i {
    // SAFETY: 64 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm512_loadu_si512(p.cast()) };
    _mm512_xor_si512(bytes, _mm512_set1_epi8(flip as i8))
}

/// `load_row_flipped` of fewer channels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> __m512i {
    // SAFETY: a masked byte is not touched; `min(n, 64)` bytes, by the contract of the kernel's argument.
    let bytes = unsafe { load_bytes_n(p, n) };
    _mm512_xor_si512(bytes, _mm512_set1_epi8(flip as i8))
}

/// Units of the four rows, the two registers of half H; see `DwI8::channel` for the order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn interleave<const H: usize>(r: [__m512i; 4]) -> [Units; 2] {
    let (a, b) = if H == 0 {
        (_mm512_unpacklo_epi8(r[0], r[1]), _mm512_unpacklo_epi8(r[2], r[3]))
    } else {
        (_mm512_unpackhi_epi8(r[0], r[1]), _mm512_unpackhi_epi8(r[2], r[3]))
    };
    [_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)]
}

/// What `interleave` returned.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn store_unit(p: *mut u8, x: Units) {
    // SAFETY: sixteen units of four bytes, by the contract of the kernel's argument.
    unsafe { _mm512_storeu_si512(p.cast(), x) }
}

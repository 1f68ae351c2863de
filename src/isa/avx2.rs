//! AVX2 and FMA.

mod int8;
mod rows;

use core::arch::x86_64::*;
pub use int8::*;
pub use rows::*;
use seq_macro::seq;

pub type F32 = __m256;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load(p: *const f32) -> F32 {
    // SAFETY: eight values, by the contract of the kernel's argument.
    unsafe { _mm256_loadu_ps(p) }
}

/// Lanes below `n`, at most all.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn mask(n: usize) -> __m256i {
    let n = _mm256_set1_epi32(n.min(8) as i32);
    _mm256_cmpgt_epi32(n, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_n(p: *const f32, n: usize) -> F32 {
    // SAFETY: a masked lane is not touched; `min(n, 8)` values, by the contract of the kernel's argument.
    unsafe { _mm256_maskload_ps(p, mask(n)) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store(p: *mut f32, x: F32) {
    // SAFETY: eight values, by the contract of the kernel's argument.
    unsafe { _mm256_storeu_ps(p, x) }
}

/// In parts of 4, 2 and 1: the masked store takes many cycles on several AMD cores.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_n(mut p: *mut f32, x: F32, n: usize) {
    // SAFETY: `min(n, 8)` values, by the contract of the kernel's argument.
    unsafe {
        if n >= 8 {
            return _mm256_storeu_ps(p, x);
        }
        let mut half = _mm256_castps256_ps128(x);
        if n & 4 != 0 {
            _mm_storeu_ps(p, half);
            half = _mm256_extractf128_ps::<1>(x);
            p = p.add(4);
        }
        if n & 2 != 0 {
            _mm_storel_epi64(p.cast(), _mm_castps_si128(half));
            half = _mm_movehl_ps(half, half);
            p = p.add(2);
        }
        if n & 1 != 0 {
            _mm_store_ss(p, half);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn splat(x: f32) -> F32 {
    _mm256_set1_ps(x)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn splat_at(p: *const f32) -> F32 {
    // SAFETY: one value, by the contract of the kernel's argument.
    unsafe { _mm256_broadcast_ss(&*p) }
}

/// Asks for the line at `p`, wherever that is, to be in L2.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn prefetch(p: *const u8) {
    _mm_prefetch::<_MM_HINT_T1>(p.cast())
}

/// Asks for the line at `p`, wherever that is, to be written.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn prefetch_write(p: *const u8) {
    _mm_prefetch::<_MM_HINT_ET0>(p.cast())
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn add(a: F32, b: F32) -> F32 {
    _mm256_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn mul(a: F32, b: F32) -> F32 {
    _mm256_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn div(a: F32, b: F32) -> F32 {
    _mm256_div_ps(a, b)
}

/// `a * b + c`, rounded once.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn fma(a: F32, b: F32, c: F32) -> F32 {
    _mm256_fmadd_ps(a, b, c)
}

/// Bounds that pass NaN through: `max` and `min` return their second operand where either is NaN.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn clamp(x: F32, lo: F32, hi: F32) -> F32 {
    _mm256_min_ps(hi, _mm256_max_ps(lo, x))
}

/// `x` where it is greater than `held` or NaN.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn max(held: F32, x: F32) -> F32 {
    _mm256_blendv_ps(_mm256_max_ps(x, held), x, _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x))
}

/// `x`, 0 where it is NaN.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn or_zero(x: F32) -> F32 {
    _mm256_and_ps(x, _mm256_cmp_ps::<_CMP_ORD_Q>(x, x))
}

/// `2^n`, where `x` is a whole number that holds `n + 127` in its lowest bits: they become the exponent.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn power(x: F32) -> F32 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(x)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn transpose(r: [F32; 8]) -> [F32; 8] {
    let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let quad = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b));
    let half = |a, b| (_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
    let ((a0, a1), (a2, a3)) = (pair(r[0], r[1]), pair(r[2], r[3]));
    let ((a4, a5), (a6, a7)) = (pair(r[4], r[5]), pair(r[6], r[7]));
    let ((b0, b1), (b2, b3)) = (quad(a0, a2), quad(a1, a3));
    let ((b4, b5), (b6, b7)) = (quad(a4, a6), quad(a5, a7));
    let ((c0, c4), (c1, c5)) = (half(b0, b4), half(b1, b5));
    let ((c2, c6), (c3, c7)) = (half(b2, b6), half(b3, b7));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

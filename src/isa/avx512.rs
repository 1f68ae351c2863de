//! AVX-512 F, BW, DQ and VL.

mod int8;
mod rows;

pub use super::avx2::{prefetch, prefetch_write};
use core::arch::x86_64::*;
pub use int8::*;
pub use rows::*;
use seq_macro::seq;

pub type F32 = __m512;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load(p: *const f32) -> F32 {
    // SAFETY: sixteen values, by the contract of the kernel's argument.
    unsafe { _mm512_loadu_ps(p) }
}

/// Lanes below `n`, at most all.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn mask(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_n(p: *const f32, n: usize) -> F32 {
    // SAFETY: a masked lane is not touched; `min(n, 16)` values, by the contract of the kernel's argument.
    unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store(p: *mut f32, x: F32) {
    // SAFETY: sixteen values, by the contract of the kernel's argument.
    unsafe { _mm512_storeu_ps(p, x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_n(p: *mut f32, x: F32, n: usize) {
    // SAFETY: a masked lane is not touched; `min(n, 16)` values, by the contract of the kernel's argument.
    unsafe { _mm512_mask_storeu_ps(p, mask(n), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn splat(x: f32) -> F32 {
    _mm512_set1_ps(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn splat_at(p: *const f32) -> F32 {
    // SAFETY: one value, by the contract of the kernel's argument.
    _mm512_set1_ps(unsafe { *p })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn add(a: F32, b: F32) -> F32 {
    _mm512_add_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn mul(a: F32, b: F32) -> F32 {
    _mm512_mul_ps(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn div(a: F32, b: F32) -> F32 {
    _mm512_div_ps(a, b)
}

/// `a * b + c`, rounded once.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn fma(a: F32, b: F32, c: F32) -> F32 {
    _mm512_fmadd_ps(a, b, c)
}

/// Bounds that pass NaN through: `max` and `min` return their second operand where either is NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn clamp(x: F32, lo: F32, hi: F32) -> F32 {
    _mm512_min_ps(hi, _mm512_max_ps(lo, x))
}

/// `x` where it is greater than `held` or NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn max(held: F32, x: F32) -> F32 {
    _mm512_mask_mov_ps(_mm512_max_ps(x, held), _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x), x)
}

/// `x`, 0 where it is NaN.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn or_zero(x: F32) -> F32 {
    _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(x, x), x)
}

/// `2^n`, where `x` is a whole number that holds `n + 127` in its lowest bits: they become the exponent.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn power(x: F32) -> F32 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(x)))
}

/// Blocks of 4x4 within each quarter of a register, then the quarters.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn transpose(r: [F32; 16]) -> [F32; 16] {
    let low = |a, b| _mm512_unpacklo_ps(a, b);
    let high = |a, b| _mm512_unpackhi_ps(a, b);
    let even = |a, b| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    let odd = |a, b| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    let (quads, _) = r.as_chunks::<4>();
    seq!(Q in 0..4 {
        let [r0, r1, r2, r3] = quads[Q];
        let (l0, l1, h0, h1) = (low(r0, r1), low(r2, r3), high(r0, r1), high(r2, r3));
        // Register i of quad Q: column 4q + i of rows 4Q to 4Q + 3, for each quarter q.
        let quad~Q = [even(l0, l1), odd(l0, l1), even(h0, h1), odd(h0, h1)];
    });
    seq!(I in 0..4 {
        let a = _mm512_shuffle_f32x4::<0x88>(quad0[I], quad1[I]);
        let b = _mm512_shuffle_f32x4::<0xdd>(quad0[I], quad1[I]);
        let c = _mm512_shuffle_f32x4::<0x88>(quad2[I], quad3[I]);
        let d = _mm512_shuffle_f32x4::<0xdd>(quad2[I], quad3[I]);
        let (s~I, t~I) = (_mm512_shuffle_f32x4::<0x88>(a, c), _mm512_shuffle_f32x4::<0x88>(b, d));
        let (u~I, v~I) = (_mm512_shuffle_f32x4::<0xdd>(a, c), _mm512_shuffle_f32x4::<0xdd>(b, d));
    });
    [s0, s1, s2, s3, t0, t1, t2, t3, u0, u1, u2, u3, v0, v1, v2, v3]
}

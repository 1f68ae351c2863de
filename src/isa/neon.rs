//! NEON, which every aarch64 has.

mod int8;
mod rows;

use core::arch::aarch64::*;
pub use int8::*;
pub use rows::*;

pub type F32 = float32x4_t;

/// The same address, of which the compiler no longer knows how it was found, nor what it has loaded from there before: it
/// then loads again where keeping values in registers would spill them.
#[inline]
#[target_feature(enable = "neon")]
#[allow(clippy::pointers_in_nomem_asm_block)] // which accesses nothing
pub fn opaque<T>(mut p: *const T) -> *const T {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags)) }
    p
}

/// The same number, of which the compiler no longer knows how it was computed.
#[inline]
#[target_feature(enable = "neon")]
pub fn opaque_index(mut i: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {} */", inout(reg) i, options(pure, nomem, nostack, preserves_flags)) }
    i
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load(p: *const f32) -> F32 {
    // SAFETY: four values, by the contract of the kernel's argument.
    unsafe { vld1q_f32(p) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_n(p: *const f32, n: usize) -> F32 {
    let x = vdupq_n_f32(0.0);
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe {
        match n {
            0 => x,
            1 => vld1q_lane_f32::<0>(p, x),
            2 => vcombine_f32(vld1_f32(p), vget_low_f32(x)),
            3 => vld1q_lane_f32::<2>(p.add(2), vcombine_f32(vld1_f32(p), vget_low_f32(x))),
            _ => vld1q_f32(p),
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store(p: *mut f32, x: F32) {
    // SAFETY: four values, by the contract of the kernel's argument.
    unsafe { vst1q_f32(p, x) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_n(p: *mut f32, x: F32, n: usize) {
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe {
        match n {
            0 => {}
            1 => vst1q_lane_f32::<0>(p, x),
            2 => vst1_f32(p, vget_low_f32(x)),
            3 => {
                vst1_f32(p, vget_low_f32(x));
                vst1q_lane_f32::<2>(p.add(2), x)
            }
            _ => vst1q_f32(p, x),
        }
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn splat(x: f32) -> F32 {
    vdupq_n_f32(x)
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn splat_at(p: *const f32) -> F32 {
    // SAFETY: one value, by the contract of the kernel's argument.
    unsafe { vld1q_dup_f32(p) }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn add(a: F32, b: F32) -> F32 {
    vaddq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn mul(a: F32, b: F32) -> F32 {
    vmulq_f32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn div(a: F32, b: F32) -> F32 {
    vdivq_f32(a, b)
}

/// `a * b + c`, rounded once.
#[inline]
#[target_feature(enable = "neon")]
pub fn fma(a: F32, b: F32, c: F32) -> F32 {
    vfmaq_f32(c, a, b)
}

/// `a[L] * b + c`, rounded once.
#[inline]
#[target_feature(enable = "neon")]
pub fn fma_lane<const L: i32>(a: F32, b: F32, c: F32) -> F32 {
    vfmaq_laneq_f32::<L>(c, b, a)
}

/// Bounds that pass NaN and the sign of zero through. `fmax` of a zero would not; `fmin` does, as no upper bound is -0.
#[inline]
#[target_feature(enable = "neon")]
pub fn clamp(x: F32, lo: F32, hi: F32) -> F32 {
    vminq_f32(vbslq_f32(vcltq_f32(x, lo), lo, x), hi)
}

/// `x` where it is greater than `held` or NaN.
#[inline]
#[target_feature(enable = "neon")]
pub fn max(held: F32, x: F32) -> F32 {
    vbslq_f32(vorrq_u32(vcgtq_f32(x, held), vmvnq_u32(vceqq_f32(x, x))), x, held)
}

/// `x`, 0 where it is NaN.
#[inline]
#[target_feature(enable = "neon")]
pub fn or_zero(x: F32) -> F32 {
    vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vceqq_f32(x, x)))
}

/// `2^n`, where `x` is a whole number that holds `n + 127` in its lowest bits: they become the exponent.
#[inline]
#[target_feature(enable = "neon")]
pub fn power(x: F32) -> F32 {
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(x)))
}

#[inline]
#[target_feature(enable = "neon")]
pub fn transpose(r: [F32; 4]) -> [F32; 4] {
    let (a, b) = (vtrn1q_f32(r[0], r[1]), vtrn2q_f32(r[0], r[1]));
    let (c, d) = (vtrn1q_f32(r[2], r[3]), vtrn2q_f32(r[2], r[3]));
    let wide = |x| vreinterpretq_f64_f32(x);
    let low = |x, y| vreinterpretq_f32_f64(vtrn1q_f64(wide(x), wide(y)));
    let high = |x, y| vreinterpretq_f32_f64(vtrn2q_f64(wide(x), wide(y)));
    [low(a, c), low(b, d), high(a, c), high(b, d)]
}

//! Any CPU, by `wide`. A multiply-add rounds once only where the target has it at compile time.

mod int8;
mod rows;

pub use int8::*;
pub use rows::*;
use wide::{bytemuck::cast, f32x4, i32x4};

pub type F32 = f32x4;

#[inline(always)]
pub unsafe fn load(p: *const f32) -> F32 {
    // SAFETY: four values, by the contract of the kernel's argument.
    F32::from(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
}

#[inline(always)]
pub unsafe fn load_n(p: *const f32, n: usize) -> F32 {
    let mut values = [0.0; 4];
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe { p.copy_to_nonoverlapping(values.as_mut_ptr(), n.min(4)) };
    F32::from(values)
}

#[inline(always)]
pub unsafe fn store(p: *mut f32, x: F32) {
    // SAFETY: four values, by the contract of the kernel's argument.
    unsafe { p.cast::<[f32; 4]>().write_unaligned(x.to_array()) }
}

#[inline(always)]
pub unsafe fn store_n(p: *mut f32, x: F32, n: usize) {
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe { p.copy_from_nonoverlapping(x.to_array().as_ptr(), n.min(4)) }
}

#[inline(always)]
pub fn splat(x: f32) -> F32 {
    F32::splat(x)
}

#[inline(always)]
pub unsafe fn splat_at(p: *const f32) -> F32 {
    // SAFETY: one value, by the contract of the kernel's argument.
    F32::splat(unsafe { *p })
}

#[inline(always)]
pub fn add(a: F32, b: F32) -> F32 {
    a + b
}

#[inline(always)]
pub fn mul(a: F32, b: F32) -> F32 {
    a * b
}

#[inline(always)]
pub fn div(a: F32, b: F32) -> F32 {
    a / b
}

/// `a * b + c`.
#[inline(always)]
pub fn fma(a: F32, b: F32, c: F32) -> F32 {
    a.mul_add(b, c)
}

/// Bounds that pass NaN through.
#[inline(always)]
pub fn clamp(x: F32, lo: F32, hi: F32) -> F32 {
    let x = x.simd_lt(lo).bitselect(lo, x);
    x.simd_gt(hi).bitselect(hi, x)
}

/// `x` where it is greater than `held` or NaN.
#[inline(always)]
pub fn max(held: F32, x: F32) -> F32 {
    (x.simd_gt(held) | x.is_nan()).bitselect(x, held)
}

/// `x`, 0 where it is NaN.
#[inline(always)]
pub fn or_zero(x: F32) -> F32 {
    x.is_nan().bitselect(F32::ZERO, x)
}

/// `2^n`, where `x` is a whole number that holds `n + 127` in its lowest bits: they become the exponent.
#[inline(always)]
pub fn power(x: F32) -> F32 {
    cast(cast::<_, i32x4>(x) << 23)
}

#[inline(always)]
pub fn transpose(rows: [F32; 4]) -> [F32; 4] {
    F32::transpose(rows)
}

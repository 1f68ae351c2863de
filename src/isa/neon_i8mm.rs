//! NEON with products of matrices: two rows of eight bytes by two.

pub use super::neon_dotprod::*;
use core::arch::{aarch64::*, asm};

/// `c[i][j]` plus the products of eight i8 of row i of `x` and row j of `y`. No intrinsic is stable.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
pub fn dot(mut c: I32, x: Units, y: Units) -> I32 {
    // SAFETY: `smmla` computes on registers; the feature is enabled.
    unsafe {
        asm!("smmla {c:v}.4s, {x:v}.16b, {y:v}.16b", c = inout(vreg) c, x = in(vreg) x, y = in(vreg) y,
            options(pure, nomem, nostack, preserves_flags));
    }
    c
}

/// A unit of each of two rows of A.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
pub unsafe fn load_pair(p: *const u8, q: *const u8) -> Units {
    // SAFETY: units of eight bytes, by the contract of the kernel's argument.
    unsafe { vcombine_s8(vld1_s8(p.cast()), vld1_s8(q.cast())) }
}

/// The biases of four columns as both rows of two products.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
pub fn twice(x: I32) -> [I32; 2] {
    let (low, high) = (vget_low_s32(x), vget_high_s32(x));
    [vcombine_s32(low, low), vcombine_s32(high, high)]
}

/// Both rows of four columns, of two products of two.
#[inline]
#[target_feature(enable = "neon,dotprod,i8mm")]
pub fn part(low: I32, high: I32) -> [I32; 2] {
    [vcombine_s32(vget_low_s32(low), vget_low_s32(high)), vcombine_s32(vget_high_s32(low), vget_high_s32(high))]
}

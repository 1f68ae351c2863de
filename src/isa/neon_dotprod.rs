//! NEON with products of four bytes.

pub use super::neon::*;
use super::part;
use core::arch::{aarch64::*, asm};

/// Operands of a product: groups of four i8.
pub type Units = int8x16_t;

#[inline]
#[target_feature(enable = "neon,dotprod")]
pub unsafe fn load_unit(p: *const u8) -> Units {
    // SAFETY: four units of four bytes, by the contract of the kernel's argument.
    unsafe { vld1q_s8(p.cast()) }
}

/// Four units of A; and a row of a depthwise window, 16 channels.
pub use self::{load_unit as load_units, load_unit as load_row};

#[inline]
#[target_feature(enable = "neon,dotprod")]
pub unsafe fn splat_unit(p: *const u8) -> Units {
    // SAFETY: a unit of four bytes, by the contract of the kernel's argument.
    vreinterpretq_s8_s32(vdupq_n_s32(unsafe { p.cast::<i32>().read_unaligned() }))
}

/// `c` plus, in each lane, the products of four i8 and four i8. No intrinsic is stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub fn dot(mut c: I32, x: Units, y: Units) -> I32 {
    // SAFETY: `sdot` computes on registers; the feature is enabled.
    unsafe {
        asm!("sdot {c:v}.4s, {x:v}.16b, {y:v}.16b", c = inout(vreg) c, x = in(vreg) x, y = in(vreg) y,
            options(pure, nomem, nostack, preserves_flags));
    }
    c
}

/// `dot` of unit `L`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub fn dot_lane<const L: i32>(mut c: I32, x: Units, y: Units) -> I32 {
    // SAFETY: `sdot` computes on registers; the feature is enabled.
    unsafe {
        asm!("sdot {c:v}.4s, {y:v}.16b, {x:v}.4b[{l}]", c = inout(vreg) c, x = in(vreg) x, y = in(vreg) y, l = const L,
            options(pure, nomem, nostack, preserves_flags));
    }
    c
}

/// `load_row`, some bits of its bytes flipped.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> int8x16_t {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    vreinterpretq_s8_u8(veorq_u8(unsafe { vld1q_u8(p) }, vdupq_n_u8(flip)))
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> int8x16_t {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n).to_le_bytes();
        load_row_flipped(bytes.as_ptr(), flip)
    }
}

/// A row that adds nothing.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub fn no_row() -> int8x16_t {
    vdupq_n_s8(0)
}

/// Units of the four rows, the two registers of half H.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub fn interleave<const H: usize>(r: [int8x16_t; 4]) -> [Units; 2] {
    let wide = |x| vreinterpretq_s16_s8(x);
    let (a, b) = if H == 0 {
        (wide(vzip1q_s8(r[0], r[1])), wide(vzip1q_s8(r[2], r[3])))
    } else {
        (wide(vzip2q_s8(r[0], r[1])), wide(vzip2q_s8(r[2], r[3])))
    };
    [vreinterpretq_s8_s16(vzip1q_s16(a, b)), vreinterpretq_s8_s16(vzip2q_s16(a, b))]
}

/// What `interleave` returned.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub unsafe fn store_unit(p: *mut u8, x: Units) {
    // SAFETY: four units of four bytes, by the contract of the kernel's argument.
    unsafe { vst1q_s8(p.cast(), x) }
}

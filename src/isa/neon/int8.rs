//! Words for bytes.

use super::{super::part, *};
use core::arch::aarch64::*;

/// i32 values.
pub type I32 = int32x4_t;

/// Operands of a product: i16.
pub type Units = int16x4_t;

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_i32(p: *const i32) -> I32 {
    // SAFETY: four values, by the contract of the kernel's argument.
    unsafe { vld1q_s32(p) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_i32_n(p: *const i32, n: usize) -> I32 {
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe { vreinterpretq_s32_f32(load_n(p.cast(), n)) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_i32(p: *mut i32, x: I32) {
    // SAFETY: four values, by the contract of the kernel's argument.
    unsafe { vst1q_s32(p, x) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_i32_n(p: *mut i32, x: I32, n: usize) {
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe { store_n(p.cast(), vreinterpretq_f32_s32(x), n) }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn splat_i32(x: i32) -> I32 {
    vdupq_n_s32(x)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn sub_i32(a: I32, b: I32) -> I32 {
    vsubq_s32(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn to_f32(x: I32) -> F32 {
    vcvtq_f32_s32(x)
}

/// To the nearest whole number, the even one of two.
#[inline]
#[target_feature(enable = "neon")]
pub fn round(x: F32) -> I32 {
    vcvtnq_s32_f32(x)
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_unit(p: *const u8) -> Units {
    // SAFETY: four units of two bytes, by the contract of the kernel's argument.
    unsafe { vld1_s16(p.cast()) }
}

/// Eight units of A.
#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_units(p: *const u8) -> int16x8_t {
    // SAFETY: eight units of two bytes, by the contract of the kernel's argument.
    unsafe { vld1q_s16(p.cast()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn splat_unit(p: *const u8) -> Units {
    // SAFETY: a unit of two bytes, by the contract of the kernel's argument.
    vdup_n_s16(unsafe { p.cast::<i16>().read_unaligned() })
}

#[inline]
#[target_feature(enable = "neon")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    vmlal_s16(c, x, y)
}

/// `dot` of unit `L`.
#[inline]
#[target_feature(enable = "neon")]
pub fn dot_lane<const L: i32>(c: I32, x: int16x8_t, y: Units) -> I32 {
    vmlal_laneq_s16::<L>(c, y, x)
}

/// What narrowing needs to know of the output.
pub struct Output {
    plain: bool,
    zero: int16x8_t,
    min: uint8x16_t,
    max: uint8x16_t,
    flip: uint8x16_t,
}

impl Output {
    /// Whether narrowing alone is all.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn output(zero_point: i16, min: u8, max: u8, flip: u8) -> Output {
    Output {
        plain: (zero_point, min, max, flip) == (0, 0, 255, 0),
        zero: vdupq_n_s16(zero_point),
        min: vdupq_n_u8(min),
        max: vdupq_n_u8(max),
        flip: vdupq_n_u8(flip),
    }
}

/// `x * s`, to the nearest whole number.
#[inline]
#[target_feature(enable = "neon")]
pub fn scale(x: I32, s: F32) -> I32 {
    round(mul(to_f32(x), s))
}

/// Whole numbers as i16, saturated.
#[inline]
#[target_feature(enable = "neon")]
pub fn pack(a: I32, b: I32) -> int16x8_t {
    vqmovn_high_s32(vqmovn_s32(a), b)
}

/// Adds the zero point and clamps: bytes of four registers, one after the other.
#[inline]
#[target_feature(enable = "neon")]
pub fn narrow(low: int16x8_t, high: int16x8_t, o: &Output) -> uint8x16_t {
    let bytes = narrow_plain(vqaddq_s16(low, o.zero), vqaddq_s16(high, o.zero));
    veorq_u8(vminq_u8(vmaxq_u8(bytes, o.min), o.max), o.flip)
}

/// `narrow` for a plain output.
#[inline]
#[target_feature(enable = "neon")]
pub fn narrow_plain(low: int16x8_t, high: int16x8_t) -> uint8x16_t {
    vqmovun_high_s16(vqmovun_s16(low), high)
}

/// Narrowed bytes, one register after the other.
#[inline]
#[target_feature(enable = "neon")]
pub fn quarters(x: uint8x16_t) -> uint8x16_t {
    x
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_bytes(p: *mut u8, x: uint8x16_t) {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { vst1q_u8(p, x) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_bytes_n(p: *mut u8, x: uint8x16_t, n: usize) {
    let mut bytes = [0u8; 16];
    // SAFETY: 16 bytes of the array, and `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe {
        vst1q_u8(bytes.as_mut_ptr(), x);
        part::store(p, u128::from_le_bytes(bytes), n);
    }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_quarter<const Q: i32>(p: *mut u8, x: uint8x16_t) {
    // `vst1q_lane_u32` would want its address aligned.
    let quarter = vgetq_lane_u32::<Q>(vreinterpretq_u32_u8(x));
    // SAFETY: four bytes, by the contract of the kernel's argument.
    unsafe { p.cast::<u32>().write_unaligned(quarter) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_quarter_n<const Q: i32>(p: *mut u8, x: uint8x16_t, n: usize) {
    let mut bytes = [0u8; 16];
    // SAFETY: four bytes of the array, and `min(n, 4)` bytes, by the contract of the kernel's argument.
    unsafe {
        store_quarter::<Q>(bytes.as_mut_ptr(), x);
        part::store(p, u128::from_le_bytes(bytes), n.min(4));
    }
}

/// Bytes, some of their bits flipped, as i32.
#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn widen(p: *const u8, flip: u8) -> I32 {
    // SAFETY: four bytes, by the contract of the kernel's argument.
    let bytes = unsafe { vreinterpret_u8_u32(vdup_n_u32(p.cast::<u32>().read_unaligned())) };
    vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(veor_u8(bytes, vdup_n_u8(flip))))))
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn widen_n(p: *const u8, flip: u8, n: usize) -> I32 {
    // SAFETY: `min(n, 4)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n.min(4)).to_le_bytes();
        widen(bytes.as_ptr(), flip)
    }
}

/// A row of a depthwise window: 16 channels, widened.
#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_row(p: *const u8) -> [int16x8_t; 2] {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { vld1q_s8(p.cast()) };
    [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
}

/// `load_row`, some bits of its bytes flipped.
#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> [int16x8_t; 2] {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    let bytes = vreinterpretq_s8_u8(veorq_u8(unsafe { vld1q_u8(p) }, vdupq_n_u8(flip)));
    [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> [int16x8_t; 2] {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n).to_le_bytes();
        load_row_flipped(bytes.as_ptr(), flip)
    }
}

/// Units of a row, the two registers of half H.
#[inline]
#[target_feature(enable = "neon")]
pub fn interleave<const H: usize>([row]: [[int16x8_t; 2]; 1]) -> [Units; 2] {
    [vget_low_s16(row[H]), vget_high_s16(row[H])]
}

#[inline]
#[target_feature(enable = "neon")]
pub fn add_i32(a: I32, b: I32) -> I32 {
    vaddq_s32(a, b)
}

/// `x * m` for x from 0 to 255 and m from 0 to 2^21.
#[inline]
#[target_feature(enable = "neon")]
pub fn mul_byte(x: I32, m: I32) -> I32 {
    vmulq_s32(x, m)
}

/// `floor(x / 2^by)`.
#[inline]
#[target_feature(enable = "neon")]
pub fn shift_right(x: I32, by: i32) -> I32 {
    vshlq_s32(x, vdupq_n_s32(-by))
}

/// A register of u8.
pub type Bytes = uint8x16_t;

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_bytes(p: *const u8) -> Bytes {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { vld1q_u8(p) }
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_bytes_n(p: *const u8, n: usize) -> Bytes {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe { load_bytes(part::load(p, n).to_le_bytes().as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn splat_bytes(x: u8) -> Bytes {
    vdupq_n_u8(x)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn max_bytes(a: Bytes, b: Bytes) -> Bytes {
    vmaxq_u8(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn min_bytes(a: Bytes, b: Bytes) -> Bytes {
    vminq_u8(a, b)
}

#[inline]
#[target_feature(enable = "neon")]
pub fn flip_bytes(a: Bytes, b: Bytes) -> Bytes {
    veorq_u8(a, b)
}

/// 256 bytes to look up, 64 at a time.
pub type Table = [uint8x16x4_t; 4];

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn load_table(p: *const u8) -> Table {
    // SAFETY: 256 bytes, by the contract of the kernel's argument.
    unsafe { [vld1q_u8_x4(p), vld1q_u8_x4(p.add(64)), vld1q_u8_x4(p.add(128)), vld1q_u8_x4(p.add(192))] }
}

/// An index of 64 or more leaves what there is.
#[inline]
#[target_feature(enable = "neon")]
pub fn lookup(table: &Table, x: Bytes) -> Bytes {
    let index = |base: u8| veorq_u8(x, vdupq_n_u8(base));
    let y = vqtbx4q_u8(vqtbl4q_u8(table[0], x), table[1], index(64));
    vqtbx4q_u8(vqtbx4q_u8(y, table[2], index(128)), table[3], index(192))
}

#[inline]
#[target_feature(enable = "neon")]
pub unsafe fn store_row(p: *mut i16, [low, high]: [int16x8_t; 2]) {
    // SAFETY: 16 values, by the contract of the kernel's argument.
    unsafe {
        vst1q_s16(p, low);
        vst1q_s16(p.add(8), high);
    }
}

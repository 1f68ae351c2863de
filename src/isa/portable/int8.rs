//! Words for bytes.

use super::{super::part, *};
use wide::{bytemuck::cast, i16x8, i32x4, u8x16};

/// i32 values.
pub type I32 = i32x4;

/// Operands of a product: pairs of i16.
pub type Units = i16x8;

#[inline(always)]
pub unsafe fn load_i32(p: *const i32) -> I32 {
    // SAFETY: four values, by the contract of the kernel's argument.
    I32::from(unsafe { p.cast::<[i32; 4]>().read_unaligned() })
}

#[inline(always)]
pub unsafe fn load_i32_n(p: *const i32, n: usize) -> I32 {
    let mut values = [0; 4];
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe { p.copy_to_nonoverlapping(values.as_mut_ptr(), n.min(4)) };
    I32::from(values)
}

#[inline(always)]
pub unsafe fn store_i32(p: *mut i32, x: I32) {
    // SAFETY: four values, by the contract of the kernel's argument.
    unsafe { p.cast::<[i32; 4]>().write_unaligned(x.to_array()) }
}

#[inline(always)]
pub unsafe fn store_i32_n(p: *mut i32, x: I32, n: usize) {
    // SAFETY: `min(n, 4)` values, by the contract of the kernel's argument.
    unsafe { p.copy_from_nonoverlapping(x.to_array().as_ptr(), n.min(4)) }
}

#[inline(always)]
pub fn splat_i32(x: i32) -> I32 {
    I32::splat(x)
}

#[inline(always)]
pub fn sub_i32(a: I32, b: I32) -> I32 {
    a - b
}

#[inline(always)]
pub fn to_f32(x: I32) -> F32 {
    x.round_float()
}

/// To the nearest whole number, the even one of two; for what fits i32.
#[inline(always)]
pub fn round(x: F32) -> I32 {
    x.fast_round_int()
}

#[inline(always)]
pub unsafe fn load_unit(p: *const u8) -> Units {
    // SAFETY: four units of four bytes, by the contract of the kernel's argument.
    Units::from(unsafe { p.cast::<[i16; 8]>().read_unaligned() })
}

#[inline(always)]
pub unsafe fn splat_unit(p: *const u8) -> Units {
    // SAFETY: a unit of four bytes, by the contract of the kernel's argument.
    let [a, b] = unsafe { p.cast::<[i16; 2]>().read_unaligned() };
    Units::from([a, b, a, b, a, b, a, b])
}

/// Exact: a product of an u8 and an i8, widened, is far from the ends of i32.
#[inline(always)]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    c + x.dot(y)
}

/// What narrowing needs to know of the output.
pub struct Output {
    plain: bool,
    zero: i16x8,
    min: u8x16,
    max: u8x16,
    flip: u8x16,
}

impl Output {
    /// Whether narrowing alone is all.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

#[inline(always)]
pub fn output(zero_point: i16, min: u8, max: u8, flip: u8) -> Output {
    let splat = |x: u8| u8x16::splat(x);
    Output {
        plain: (zero_point, min, max, flip) == (0, 0, 255, 0),
        zero: i16x8::splat(zero_point),
        min: splat(min),
        max: splat(max),
        flip: splat(flip),
    }
}

/// `x * s`, to the nearest whole number.
#[inline(always)]
pub fn scale(x: I32, s: F32) -> I32 {
    round(mul(to_f32(x), s))
}

/// Whole numbers as i16, saturated.
#[inline(always)]
pub fn pack(a: I32, b: I32) -> i16x8 {
    i16x8::from_i32x8_saturate(cast([a, b]))
}

/// Adds the zero point and clamps: bytes of four registers, one after the other.
#[inline(always)]
pub fn narrow(low: i16x8, high: i16x8, o: &Output) -> u8x16 {
    let bytes = u8x16::narrow_i16x8(low.saturating_add(o.zero), high.saturating_add(o.zero));
    bytes.max(o.min).min(o.max) ^ o.flip
}

/// `narrow` for a plain output.
#[inline(always)]
pub fn narrow_plain(low: i16x8, high: i16x8) -> u8x16 {
    u8x16::narrow_i16x8(low, high)
}

/// Narrowed bytes, one register after the other.
#[inline(always)]
pub fn quarters(x: u8x16) -> u8x16 {
    x
}

/// Narrowed bytes, the first two registers before the others.
#[inline(always)]
pub fn halves(x: u8x16) -> u8x16 {
    x
}

#[inline(always)]
pub unsafe fn store_bytes(p: *mut u8, x: u8x16) {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { p.cast::<[u8; 16]>().write_unaligned(x.to_array()) }
}

#[inline(always)]
pub unsafe fn store_half<const H: usize>(p: *mut u8, x: u8x16) {
    // SAFETY: 8 bytes, by the contract of the kernel's argument.
    unsafe { store_half_n::<H>(p, x, 8) }
}

#[inline(always)]
pub unsafe fn store_half_n<const H: usize>(p: *mut u8, x: u8x16, n: usize) {
    // SAFETY: `min(n, 8)` bytes, by the contract of the kernel's argument.
    unsafe { part::store(p, u128::from_le_bytes(x.to_array()) >> (64 * H), n.min(8)) }
}

#[inline(always)]
pub unsafe fn store_quarter<const Q: usize>(p: *mut u8, x: u8x16) {
    // SAFETY: 4 bytes, by the contract of the kernel's argument.
    unsafe { store_quarter_n::<Q>(p, x, 4) }
}

#[inline(always)]
pub unsafe fn store_quarter_n<const Q: usize>(p: *mut u8, x: u8x16, n: usize) {
    // SAFETY: `min(n, 4)` bytes, by the contract of the kernel's argument.
    unsafe { part::store(p, u128::from_le_bytes(x.to_array()) >> (32 * Q), n.min(4)) }
}

/// Bytes, some of their bits flipped, as i32.
#[inline(always)]
pub unsafe fn widen(p: *const u8, flip: u8) -> I32 {
    // SAFETY: four bytes, by the contract of the kernel's argument.
    let bytes = unsafe { p.cast::<[u8; 4]>().read_unaligned() };
    I32::from(bytes.map(|byte| i32::from(byte ^ flip)))
}

#[inline(always)]
pub unsafe fn widen_n(p: *const u8, flip: u8, n: usize) -> I32 {
    // SAFETY: `min(n, 4)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n.min(4)).to_le_bytes();
        widen(bytes.as_ptr(), flip)
    }
}

/// A row of a depthwise window: 8 channels, widened.
#[inline(always)]
pub unsafe fn load_row(p: *const u8) -> i16x8 {
    // SAFETY: 8 bytes, by the contract of the kernel's argument.
    unsafe { load_row_flipped(p, 0) }
}

/// `load_row`, some bits of its bytes flipped.
#[inline(always)]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> i16x8 {
    // SAFETY: 8 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { p.cast::<[u8; 8]>().read_unaligned() };
    i16x8::from(bytes.map(|byte| i16::from(byte ^ flip)))
}

#[inline(always)]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> i16x8 {
    // SAFETY: `min(n, 8)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n.min(8)).to_le_bytes();
        load_row_flipped(bytes.as_ptr(), flip)
    }
}

/// A row that adds nothing.
#[inline(always)]
pub fn no_row() -> i16x8 {
    i16x8::splat(0)
}

/// Units of the two rows.
#[inline(always)]
pub fn interleave<const H: usize>(r: [i16x8; 2]) -> [Units; 2] {
    let (a, b) = (r[0].to_array(), r[1].to_array());
    let pairs = |i: usize| i16x8::from([a[i], b[i], a[i + 1], b[i + 1], a[i + 2], b[i + 2], a[i + 3], b[i + 3]]);
    [pairs(0), pairs(4)]
}

#[inline(always)]
pub fn add_i32(a: I32, b: I32) -> I32 {
    a + b
}

/// `x * m` for x from 0 to 255 and m from 0 to 2^21. As pairs of i16, because baseline x86-64 has no product of i32: `x` and
/// `128 x` by the low seven bits of `m` and the rest.
#[inline(always)]
pub fn mul_byte(x: I32, m: I32) -> I32 {
    let (x, m) = (x | (x << 23), (m & I32::splat(127)) | ((m >> 7) << 16));
    dot(I32::splat(0), cast(x), cast(m))
}

/// `floor(x / 2^by)`.
#[inline(always)]
pub fn shift_right(x: I32, by: i32) -> I32 {
    x >> by
}

/// A register of u8.
pub type Bytes = u8x16;

#[inline(always)]
pub unsafe fn load_bytes(p: *const u8) -> Bytes {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    Bytes::from(unsafe { p.cast::<[u8; 16]>().read_unaligned() })
}

#[inline(always)]
pub unsafe fn load_bytes_n(p: *const u8, n: usize) -> Bytes {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument.
    Bytes::from(unsafe { part::load(p, n) }.to_le_bytes())
}

#[inline(always)]
pub unsafe fn store_bytes_n(p: *mut u8, x: Bytes, n: usize) {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe { part::store(p, u128::from_le_bytes(x.to_array()), n) }
}

#[inline(always)]
pub fn splat_bytes(x: u8) -> Bytes {
    Bytes::splat(x)
}

#[inline(always)]
pub fn max_bytes(a: Bytes, b: Bytes) -> Bytes {
    a.max(b)
}

#[inline(always)]
pub fn min_bytes(a: Bytes, b: Bytes) -> Bytes {
    a.min(b)
}

#[inline(always)]
pub fn flip_bytes(a: Bytes, b: Bytes) -> Bytes {
    a ^ b
}

/// 256 bytes to look up.
pub type Table = [u8; 256];

#[inline(always)]
pub unsafe fn load_table(p: *const u8) -> Table {
    // SAFETY: 256 bytes, by the contract of the kernel's argument.
    unsafe { p.cast::<Table>().read_unaligned() }
}

#[inline(always)]
pub fn lookup(table: &Table, x: Bytes) -> Bytes {
    Bytes::from(x.to_array().map(|i| table[usize::from(i)]))
}

/// The same address; see the other vocabularies. There is no way to say it for any CPU.
#[inline(always)]
pub fn opaque(p: *const u8) -> *const u8 {
    p
}

#[inline(always)]
pub unsafe fn store_row(p: *mut i16, x: i16x8) {
    // SAFETY: eight values, by the contract of the kernel's argument.
    unsafe { p.cast::<[i16; 8]>().write_unaligned(x.to_array()) }
}

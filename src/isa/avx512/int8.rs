//! Words for bytes.

use super::*;
use core::arch::x86_64::*;

/// i32 values.
pub type I32 = __m512i;

/// Operands of a product: pairs of i16.
pub type Units = __m512i;

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_i32(p: *const i32) -> I32 {
    // SAFETY: sixteen values, by the contract of the kernel's argument.
    unsafe { _mm512_loadu_si512(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_i32_n(p: *const i32, n: usize) -> I32 {
    // SAFETY: a masked lane is not touched; `min(n, 16)` values, by the contract of the kernel's argument.
    unsafe { _mm512_maskz_loadu_epi32(mask(n), p) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_i32(p: *mut i32, x: I32) {
    // SAFETY: sixteen values, by the contract of the kernel's argument.
    unsafe { _mm512_storeu_si512(p.cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_i32_n(p: *mut i32, x: I32, n: usize) {
    // SAFETY: a masked lane is not touched; `min(n, 16)` values, by the contract of the kernel's argument.
    unsafe { _mm512_mask_storeu_epi32(p, mask(n), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn splat_i32(x: i32) -> I32 {
    _mm512_set1_epi32(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn sub_i32(a: I32, b: I32) -> I32 {
    _mm512_sub_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn to_f32(x: I32) -> F32 {
    _mm512_cvtepi32_ps(x)
}

/// To the nearest whole number, the even one of two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn round(x: F32) -> I32 {
    _mm512_cvtps_epi32(x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_unit(p: *const u8) -> Units {
    // SAFETY: sixteen units of four bytes, by the contract of the kernel's argument.
    unsafe { _mm512_loadu_si512(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn splat_unit(p: *const u8) -> Units {
    // SAFETY: a unit of four bytes, by the contract of the kernel's argument.
    _mm512_set1_epi32(unsafe { p.cast::<i32>().read_unaligned() })
}

/// Exact: a product of an u8 and an i8, widened, is far from the ends of i32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm512_add_epi32(c, _mm512_madd_epi16(x, y))
}

/// What narrowing needs to know of the output.
pub struct Output {
    plain: bool,
    zero: __m512i,
    min: __m512i,
    max: __m512i,
    flip: __m512i,
}

impl Output {
    /// Whether narrowing alone is all.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn output(zero_point: i16, min: u8, max: u8, flip: u8) -> Output {
    let splat = |x: u8| _mm512_set1_epi8(x as i8);
    Output {
        plain: (zero_point, min, max, flip) == (0, 0, 255, 0),
        zero: _mm512_set1_epi16(zero_point),
        min: splat(min),
        max: splat(max),
        flip: splat(flip),
    }
}

/// `x * s`, to the nearest whole number.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn scale(x: I32, s: F32) -> I32 {
    round(mul(to_f32(x), s))
}

/// Whole numbers as i16, saturated, in the order in which `interleave` takes them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn pack(a: I32, b: I32) -> __m512i {
    _mm512_packs_epi32(a, b)
}

/// Adds the zero point and clamps: bytes of four registers, in the order in which `interleave` takes them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn narrow(low: __m512i, high: __m512i, o: &Output) -> __m512i {
    let bytes = _mm512_packus_epi16(_mm512_adds_epi16(low, o.zero), _mm512_adds_epi16(high, o.zero));
    _mm512_xor_si512(_mm512_min_epu8(_mm512_max_epu8(bytes, o.min), o.max), o.flip)
}

/// `narrow` for a plain output.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn narrow_plain(low: __m512i, high: __m512i) -> __m512i {
    _mm512_packus_epi16(low, high)
}

/// Narrowed bytes, one register after the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn quarters(x: __m512i) -> __m512i {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, x)
}

/// Narrowed bytes, the first two registers before the others, both in the order of the image.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn halves(x: __m512i) -> __m512i {
    _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), x)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_bytes(p: *mut u8, x: __m512i) {
    // SAFETY: 64 bytes, by the contract of the kernel's argument.
    unsafe { _mm512_storeu_si512(p.cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_half<const H: i32>(p: *mut u8, x: __m512i) {
    // SAFETY: 32 bytes, by the contract of the kernel's argument.
    unsafe { _mm256_storeu_si256(p.cast(), _mm512_extracti64x4_epi64::<H>(x)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_half_n<const H: i32>(p: *mut u8, x: __m512i, n: usize) {
    // SAFETY: a masked byte is not touched; `min(n, 32)` bytes, by the contract of the kernel's argument.
    unsafe { _mm256_mask_storeu_epi8(p.cast(), mask_bytes(n) as __mmask32, _mm512_extracti64x4_epi64::<H>(x)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_quarter<const Q: i32>(p: *mut u8, x: __m512i) {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { _mm_storeu_si128(p.cast(), _mm512_extracti32x4_epi32::<Q>(x)) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_quarter_n<const Q: i32>(p: *mut u8, x: __m512i, n: usize) {
    // SAFETY: a masked byte is not touched; `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe { _mm_mask_storeu_epi8(p.cast(), mask(n), _mm512_extracti32x4_epi32::<Q>(x)) }
}

/// Bytes, some of their bits flipped, as i32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn widen(p: *const u8, flip: u8) -> I32 {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm_loadu_si128(p.cast()) };
    _mm512_cvtepu8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(flip as i8)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn widen_n(p: *const u8, flip: u8, n: usize) -> I32 {
    // SAFETY: a masked byte is not touched; `min(n, 16)` bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm_maskz_loadu_epi8(mask(n), p.cast()) };
    _mm512_cvtepu8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(flip as i8)))
}

/// A row of a depthwise window: 32 channels, widened.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_row(p: *const u8) -> __m512i {
    // SAFETY: 32 bytes, by the contract of the kernel's argument.
    _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(p.cast()) })
}

/// `load_row`, some bits of its bytes flipped.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> __m512i {
    // SAFETY: 32 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm256_loadu_si256(p.cast()) };
    _mm512_cvtepu8_epi16(_mm256_xor_si256(bytes, _mm256_set1_epi8(flip as i8)))
}

/// A row that adds nothing.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn no_row() -> __m512i {
    _mm512_setzero_si512()
}

/// Units of the two rows; see `DwI8::channel` for the order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn interleave<const H: usize>(r: [__m512i; 2]) -> [Units; 2] {
    [_mm512_unpacklo_epi16(r[0], r[1]), _mm512_unpackhi_epi16(r[0], r[1])]
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn add_i32(a: I32, b: I32) -> I32 {
    _mm512_add_epi32(a, b)
}

/// `x * m` for x from 0 to 255 and m from 0 to 2^21.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn mul_byte(x: I32, m: I32) -> I32 {
    _mm512_mullo_epi32(x, m)
}

/// `floor(x / 2^by)`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn shift_right(x: I32, by: i32) -> I32 {
    _mm512_sra_epi32(x, _mm_cvtsi32_si128(by))
}

/// A register of u8.
pub type Bytes = __m512i;

/// Bytes below `n`, at most all.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn mask_bytes(n: usize) -> __mmask64 {
    ((1u128 << n.min(64)) - 1) as __mmask64
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_bytes(p: *const u8) -> Bytes {
    // SAFETY: 64 bytes, by the contract of the kernel's argument.
    unsafe { _mm512_loadu_si512(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_bytes_n(p: *const u8, n: usize) -> Bytes {
    // SAFETY: a masked byte is not touched; `min(n, 64)` bytes, by the contract of the kernel's argument.
    unsafe { _mm512_maskz_loadu_epi8(mask_bytes(n), p.cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_bytes_n(p: *mut u8, x: Bytes, n: usize) {
    // SAFETY: a masked byte is not touched; `min(n, 64)` bytes, by the contract of the kernel's argument.
    unsafe { _mm512_mask_storeu_epi8(p.cast(), mask_bytes(n), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn splat_bytes(x: u8) -> Bytes {
    _mm512_set1_epi8(x as i8)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn max_bytes(a: Bytes, b: Bytes) -> Bytes {
    _mm512_max_epu8(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn min_bytes(a: Bytes, b: Bytes) -> Bytes {
    _mm512_min_epu8(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn flip_bytes(a: Bytes, b: Bytes) -> Bytes {
    _mm512_xor_si512(a, b)
}

/// As `avx2::Table`, in each quarter of a register.
pub type Table = [__m512i; 16];

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_table(p: *const u8) -> Table {
    // SAFETY: 256 bytes, by the contract of the kernel's argument.
    let t = unsafe { super::super::avx2::load_table(p) };
    seq!(I in 0..16 { [#(_mm512_broadcast_i64x4(t[I]),)*] })
}

/// As `avx2::lookup`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub fn lookup(table: &Table, x: Bytes) -> Bytes {
    let (mut x, mut y, sixteen) = (x, _mm512_shuffle_epi8(table[0], x), _mm512_set1_epi8(16));
    seq!(I in 1..9 {
        x = _mm512_sub_epi8(x, sixteen);
        y = _mm512_xor_si512(y, _mm512_shuffle_epi8(table[I], x));
    });
    seq!(I in 9..16 {
        x = _mm512_subs_epi8(x, sixteen);
        y = _mm512_xor_si512(y, _mm512_shuffle_epi8(table[I], x));
    });
    y
}

/// The same address, of which the compiler no longer knows what it has loaded from there before: it then loads again where
/// keeping values in registers would spill them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
#[allow(clippy::pointers_in_nomem_asm_block)] // which accesses nothing
pub fn opaque(mut p: *const u8) -> *const u8 {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags)) }
    p
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn store_row(p: *mut i16, x: __m512i) {
    // SAFETY: 32 values, by the contract of the kernel's argument.
    unsafe { _mm512_storeu_si512(p.cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> __m512i {
    // SAFETY: a masked byte is not touched; `min(n, 32)` bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm256_maskz_loadu_epi8(mask_bytes(n) as __mmask32, p.cast()) };
    _mm512_cvtepu8_epi16(_mm256_xor_si256(bytes, _mm256_set1_epi8(flip as i8)))
}

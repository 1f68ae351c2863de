//! Words for bytes.

use super::{super::part, *};
use core::arch::x86_64::*;

/// i32 values.
pub type I32 = __m256i;

/// Operands of a product: pairs of i16.
pub type Units = __m256i;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_i32(p: *const i32) -> I32 {
    // SAFETY: eight values, by the contract of the kernel's argument.
    unsafe { _mm256_loadu_si256(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_i32_n(p: *const i32, n: usize) -> I32 {
    // SAFETY: a masked lane is not touched; `min(n, 8)` values, by the contract of the kernel's argument.
    unsafe { _mm256_maskload_epi32(p, mask(n)) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_i32(p: *mut i32, x: I32) {
    // SAFETY: eight values, by the contract of the kernel's argument.
    unsafe { _mm256_storeu_si256(p.cast(), x) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_i32_n(p: *mut i32, x: I32, n: usize) {
    // SAFETY: `min(n, 8)` values, by the contract of the kernel's argument.
    unsafe { store_n(p.cast(), _mm256_castsi256_ps(x), n) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn splat_i32(x: i32) -> I32 {
    _mm256_set1_epi32(x)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn sub_i32(a: I32, b: I32) -> I32 {
    _mm256_sub_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn to_f32(x: I32) -> F32 {
    _mm256_cvtepi32_ps(x)
}

/// To the nearest whole number, the even one of two.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn round(x: F32) -> I32 {
    _mm256_cvtps_epi32(x)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_unit(p: *const u8) -> Units {
    // SAFETY: eight units of four bytes, by the contract of the kernel's argument.
    unsafe { _mm256_loadu_si256(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn splat_unit(p: *const u8) -> Units {
    // SAFETY: a unit of four bytes, by the contract of the kernel's argument.
    _mm256_set1_epi32(unsafe { p.cast::<i32>().read_unaligned() })
}

/// Exact: a product of an u8 and an i8, widened, is far from the ends of i32.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm256_add_epi32(c, _mm256_madd_epi16(x, y))
}

/// What narrowing needs to know of the output.
pub struct Output {
    plain: bool,
    zero: __m256i,
    min: __m256i,
    max: __m256i,
    flip: __m256i,
}

impl Output {
    /// Whether narrowing alone is all.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn output(zero_point: i16, min: u8, max: u8, flip: u8) -> Output {
    let splat = |x: u8| _mm256_set1_epi8(x as i8);
    Output {
        plain: (zero_point, min, max, flip) == (0, 0, 255, 0),
        zero: _mm256_set1_epi16(zero_point),
        min: splat(min),
        max: splat(max),
        flip: splat(flip),
    }
}

/// `x * s`, to the nearest whole number.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn scale(x: I32, s: F32) -> I32 {
    round(mul(to_f32(x), s))
}

/// Whole numbers as i16, saturated, in the order in which `interleave` takes them.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn pack(a: I32, b: I32) -> __m256i {
    _mm256_packs_epi32(a, b)
}

/// Adds the zero point and clamps: bytes of four registers, in the order in which `interleave` takes them.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn narrow(low: __m256i, high: __m256i, o: &Output) -> __m256i {
    let bytes = _mm256_packus_epi16(_mm256_adds_epi16(low, o.zero), _mm256_adds_epi16(high, o.zero));
    _mm256_xor_si256(_mm256_min_epu8(_mm256_max_epu8(bytes, o.min), o.max), o.flip)
}

/// `narrow` for a plain output.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn narrow_plain(low: __m256i, high: __m256i) -> __m256i {
    _mm256_packus_epi16(low, high)
}

/// Narrowed bytes, one register after the other.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn quarters(x: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
}

/// Narrowed bytes, the first two registers before the others, both in the order of the image.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn halves(x: __m256i) -> __m256i {
    _mm256_permute4x64_epi64::<0xd8>(x)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_bytes(p: *mut u8, x: __m256i) {
    // SAFETY: 32 bytes, by the contract of the kernel's argument.
    unsafe { _mm256_storeu_si256(p.cast(), x) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_half<const H: i32>(p: *mut u8, x: __m256i) {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    unsafe { _mm_storeu_si128(p.cast(), _mm256_extracti128_si256::<H>(x)) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_half_n<const H: i32>(p: *mut u8, x: __m256i, n: usize) {
    let mut bytes = [0u8; 16];
    // SAFETY: 16 bytes of the array, and `min(n, 16)` bytes, by the contract of the kernel's argument.
    unsafe {
        store_half::<H>(bytes.as_mut_ptr(), x);
        part::store(p, u128::from_le_bytes(bytes), n);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_quarter<const Q: i32>(p: *mut u8, x: __m256i) {
    let half = if Q < 2 { _mm256_castsi256_si128(x) } else { _mm256_extracti128_si256::<1>(x) };
    // `_mm_storeh_pd` would want its address aligned.
    let quarter = if Q % 2 == 0 { half } else { _mm_unpackhi_epi64(half, half) };
    // SAFETY: 8 bytes, by the contract of the kernel's argument.
    unsafe { _mm_storel_epi64(p.cast(), quarter) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_quarter_n<const Q: i32>(p: *mut u8, x: __m256i, n: usize) {
    let mut bytes = [0u8; 16];
    // SAFETY: 8 bytes of the array, and `min(n, 8)` bytes, by the contract of the kernel's argument.
    unsafe {
        store_quarter::<Q>(bytes.as_mut_ptr(), x);
        part::store(p, u128::from_le_bytes(bytes), n.min(8));
    }
}

/// Bytes, some of their bits flipped, as i32.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn widen(p: *const u8, flip: u8) -> I32 {
    // SAFETY: eight bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm_loadl_epi64(p.cast()) };
    _mm256_cvtepu8_epi32(_mm_xor_si128(bytes, _mm_set1_epi8(flip as i8)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn widen_n(p: *const u8, flip: u8, n: usize) -> I32 {
    // SAFETY: `min(n, 8)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n.min(8)).to_le_bytes();
        widen(bytes.as_ptr(), flip)
    }
}

/// A row of a depthwise window: 16 channels, widened.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_row(p: *const u8) -> __m256i {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(p.cast()) })
}

/// `load_row`, some bits of its bytes flipped.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_row_flipped(p: *const u8, flip: u8) -> __m256i {
    // SAFETY: 16 bytes, by the contract of the kernel's argument.
    let bytes = unsafe { _mm_loadu_si128(p.cast()) };
    _mm256_cvtepu8_epi16(_mm_xor_si128(bytes, _mm_set1_epi8(flip as i8)))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_row_n(p: *const u8, n: usize, flip: u8) -> __m256i {
    // SAFETY: `min(n, 16)` bytes, by the contract of the kernel's argument; the array is as long as a whole load.
    unsafe {
        let bytes = part::load(p, n).to_le_bytes();
        load_row_flipped(bytes.as_ptr(), flip)
    }
}

/// A row that adds nothing.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn no_row() -> __m256i {
    _mm256_setzero_si256()
}

/// Units of the two rows; see `DwI8::channel` for the order.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn interleave<const H: usize>(r: [__m256i; 2]) -> [Units; 2] {
    [_mm256_unpacklo_epi16(r[0], r[1]), _mm256_unpackhi_epi16(r[0], r[1])]
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn add_i32(a: I32, b: I32) -> I32 {
    _mm256_add_epi32(a, b)
}

/// `x * m` for x from 0 to 255 and m from 0 to 2^21.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn mul_byte(x: I32, m: I32) -> I32 {
    _mm256_mullo_epi32(x, m)
}

/// `floor(x / 2^by)`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn shift_right(x: I32, by: i32) -> I32 {
    _mm256_sra_epi32(x, _mm_cvtsi32_si128(by))
}

/// A register of u8.
pub type Bytes = __m256i;

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_bytes(p: *const u8) -> Bytes {
    // SAFETY: 32 bytes, by the contract of the kernel's argument.
    unsafe { _mm256_loadu_si256(p.cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_bytes_n(p: *const u8, n: usize) -> Bytes {
    let mut bytes = [0u8; 32];
    // SAFETY: `min(n, 32)` bytes, by the contract of the kernel's argument, and 32 of the array.
    unsafe {
        bytes.as_mut_ptr().copy_from_nonoverlapping(p, n.min(32));
        load_bytes(bytes.as_ptr())
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_bytes_n(p: *mut u8, x: Bytes, n: usize) {
    let half = |x| {
        let mut bytes = [0u8; 16];
        // SAFETY: 16 bytes of the array.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), x) };
        u128::from_le_bytes(bytes)
    };
    // SAFETY: `min(n, 32)` bytes, by the contract of the kernel's argument.
    unsafe {
        part::store(p, half(_mm256_castsi256_si128(x)), n);
        part::store(p.wrapping_add(16), half(_mm256_extracti128_si256::<1>(x)), n.saturating_sub(16));
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn splat_bytes(x: u8) -> Bytes {
    _mm256_set1_epi8(x as i8)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn max_bytes(a: Bytes, b: Bytes) -> Bytes {
    _mm256_max_epu8(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn min_bytes(a: Bytes, b: Bytes) -> Bytes {
    _mm256_min_epu8(a, b)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn flip_bytes(a: Bytes, b: Bytes) -> Bytes {
    _mm256_xor_si256(a, b)
}

/// 256 bytes to look up: sixteen a register, in both halves of it, as the bits in which they differ from the sixteen
/// before; the second eight hold what the first eight do, too. See `lookup`.
pub type Table = [__m256i; 16];

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn load_table(p: *const u8) -> Table {
    // SAFETY: 16 of 256 bytes, by the contract of the kernel's argument.
    let at = |i: usize| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(p.add(16 * i).cast())) };
    let step = |i: usize| _mm256_xor_si256(at(i), at(i - 1));
    let low = seq!(I in 1..8 { [at(0), #(step(I),)*] });
    let high = |i: usize| _mm256_xor_si256(step(8 + i), low[i]);
    seq!(I in 0..8 { [#(low[I],)* #(high(I),)*] })
}

/// A shuffle gives the byte that the low four bits of an index say, or zero where its highest bit is set. Before each but
/// the first the index goes down by sixteen, until it has wrapped: the differences that it met by then make up its byte.
/// One that begins with the highest bit set misses as many of the first differences as the second eight hold for it. Those
/// that wrapped stop at -128, so that they do not come up again.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub fn lookup(table: &Table, x: Bytes) -> Bytes {
    let (mut x, mut y, sixteen) = (x, _mm256_shuffle_epi8(table[0], x), _mm256_set1_epi8(16));
    seq!(I in 1..9 {
        x = _mm256_sub_epi8(x, sixteen);
        y = _mm256_xor_si256(y, _mm256_shuffle_epi8(table[I], x));
    });
    seq!(I in 9..16 {
        x = _mm256_subs_epi8(x, sixteen);
        y = _mm256_xor_si256(y, _mm256_shuffle_epi8(table[I], x));
    });
    y
}

/// The same address, of which the compiler no longer knows how it was found, nor what it has loaded from there before: it
/// then loads again where keeping values in registers would spill them.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::pointers_in_nomem_asm_block)] // which accesses nothing
pub fn opaque<T>(mut p: *const T) -> *const T {
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags)) }
    p
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub unsafe fn store_row(p: *mut i16, x: __m256i) {
    // SAFETY: 16 values, by the contract of the kernel's argument.
    unsafe { _mm256_storeu_si256(p.cast(), x) }
}

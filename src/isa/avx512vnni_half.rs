//! AVX-512 VNNI on registers of 256 bits.

pub use super::{
    avx2::*,
    rows256::{interleave, load_row, load_row_flipped},
};
use core::arch::x86_64::*;

/// `c` plus, in each lane, the products of four u8 and four i8. Exact: it does not saturate on the way.
#[inline]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm256_dpbusd_epi32(c, x, y)
}

//! AVX-VNNI: AVX2 with products of four bytes.

pub use super::{
    avx2::*,
    rows256::{interleave, load_row, load_row_flipped, load_row_n},
};
use core::arch::x86_64::*;

/// `c` plus, in each lane, the products of four u8 and four i8. Exact: it does not saturate on the way.
#[inline]
#[target_feature(enable = "avx2,fma,avxvnni")]
pub fn dot(c: I32, x: Units, y: Units) -> I32 {
    _mm256_dpbusd_avx_epi32(c, x, y)
}

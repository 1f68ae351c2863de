//! Rows of 16 bytes, as on every level: what permutations move.

use super::Bytes;

/// 16 bytes.
pub type Row = Bytes;
pub use super::{load_bytes as load_row16, load_bytes_n as load_row16_n};
pub use super::{store_bytes as store_row16, store_bytes_n as store_row16_n};

#[inline(always)]
pub fn no_row16() -> Row {
    Row::splat(0)
}

/// Four times each row beside the one eight further on.
#[inline(always)]
pub fn transpose_bytes(r: [Row; 16]) -> [Row; 16] {
    zip(zip(zip(zip(r))))
}

#[inline(always)]
fn zip(r: [Row; 16]) -> [Row; 16] {
    let (low, high) = (|i: usize| Row::unpack_low(r[i], r[i + 8]), |i: usize| Row::unpack_high(r[i], r[i + 8]));
    [
        low(0),
        high(0),
        low(1),
        high(1),
        low(2),
        high(2),
        low(3),
        high(3),
        low(4),
        high(4),
        low(5),
        high(5),
        low(6),
        high(6),
        low(7),
        high(7),
    ]
}

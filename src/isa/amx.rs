//! AMX: AVX-512 VNNI, and products of tiles of 16 rows by 64 bytes. The compiler knows neither feature nor instruction.

pub use super::avx512vnni::*;
use core::arch::asm;

/// Palette 1: what tiles hold.
#[repr(C, align(64))]
pub struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Tiles 0 to 3 of sums, 4 and 5 of `rows` of A of `k` bytes, 6 and 7 of as many units of B.
    #[inline]
    pub fn new(rows: usize, k: usize) -> Self {
        let (a, units, k) = (rows as u8, (k / 4) as u8, k as u16);
        Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, k, k, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [a, a, a, a, a, a, units, units, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

/// Sums that tiles are stored to, on lines of their own: twice N.
#[repr(C, align(64))]
pub struct Held<const N: usize>([[i32; N]; 2]);

/// Configures the tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn begin(config: &Config) {
    // SAFETY: the CPU has AMX and the system granted its state, and there are 1 to 16 rows and units: by the kernel.
    unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack, readonly)) }
}

/// The sums of a tile, rows `stride` bytes apart.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn store_tile(tile: usize, p: *mut i32, stride: usize) {
    seq_macro::seq!(T in 0..4 {
        match tile {
            #(
                // SAFETY: rows of 64 bytes, by the kernel.
                T => unsafe {
                    asm!(concat!("tilestored [{} + {}], tmm", stringify!(T)), in(reg) p, in(reg) stride, options(nostack, preserves_flags))
                },
            )*
            _ => {}
        }
    });
}

/// Gives the tiles back, so that they need not be saved at a switch of threads.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn end() {
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

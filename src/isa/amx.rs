//! AMX: AVX-512 VNNI, and products of tiles of 16 rows by 64 bytes. The compiler knows neither feature nor instruction.

pub use super::avx512vnni::*;
use core::arch::asm;

/// Palette 1; eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    seq_macro::seq!(T in 0..8 {
        (row_bytes[T], rows[T]) = (64, 16);
    });
    Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

/// Configures the tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn begin() {
    // SAFETY: the CPU has AMX and the system granted its state: the contract of the kernel.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, readonly)) }
}

/// Gives the tiles back, so that they need not be saved at a switch of threads.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub unsafe fn end() {
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

//! `gemm_i8` on tile registers: `C[32 x NR] += A[32 x 64] * B[64 x NR]` a step, four tiles of 16 x 16 sums.
//!
//! B is packed as for the level's other products: 16 units of k of a panel are a tile of B as it lies in memory, rows a
//! panel's width apart. Biases are loaded as a tile of equal rows: their stride is zero.
//!
//! Tile registers are no operands that the compiler knows, so the loop over k, in which sums live in them, is one `asm!`
//! block, and it is emitted here rather than put together from words. What follows is: sums are stored, and become bytes
//! as those of every other product.

use super::{Family, Kernel, gemm_i8, kernel_head, level::Level, writer::Writer};

/// Rows of A in a step: two tiles.
pub const ROWS: usize = 32;
/// Bytes of k in a step: a row of a tile.
pub const K: usize = 4 * TILE;
/// Rows of a tile, and i32 columns.
pub const TILE: usize = 16;

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let kernels = (1..=level.int8.gemm.len()).map(|cols| emit(w, level, cols)).collect();
    Family { field: "gemm_i8_amx", kernels }
}

fn emit(w: &mut Writer, level: &Level, cols: usize) -> Kernel {
    assert_eq!(level.lanes, TILE, "a tile is as wide as a register");
    let nr = cols * level.lanes;
    // Tiles are registers of their own; what is counted are those of the stores.
    let what = format!("`gemm_i8` on tiles, {ROWS} rows by {nr} columns");
    let kernel = kernel_head(w, level, &format!("gemm_i8_{ROWS}x{nr}"), "GemmI8", &what, 4 + cols + 4);
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.line(format!("let mut held = [0i32; {}];", ROWS * nr));
    w.line("unsafe { v::begin() };");
    w.open("for panel in 0..p.panels");
    w.line("let head = unsafe { p.b.add(panel * p.panel_len) };");
    w.open(format!("for step in 0..p.tiles.div_ceil({ROWS})"));
    w.line(format!("let row = (step * {ROWS}).min(p.tiles - {ROWS});"));
    w.line("let a = unsafe { p.a.add(row * p.a_stride) };");
    w.open("unsafe");
    asm(w, cols, nr);
    w.close();
    let rows = 4 / cols;
    w.open(format!("for four in 0..{}", ROWS / rows));
    w.line(format!("let row = row + four * {rows};"));
    w.line("let c = p.c.wrapping_add(panel * p.panel_columns + row * p.c_stride);");
    w.line("let sums = p.sums.wrapping_add(panel * p.panel_columns + row * p.sums_stride);");
    for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
        let at = format!("held.as_ptr().add((four * {rows} + {i}) * {nr} + {})", j * TILE);
        w.line(format!("let c{i}_{j} = unsafe {{ v::load_i32({at}) }};"));
    }
    gemm_i8::store(w, level, rows, cols, "c");
    w.close();
    w.close();
    w.close();
    w.line("unsafe { v::end() };");
    w.close();
    kernel
}

/// Sums of `p.k` bytes, at least one step: tiles 0 to 3 hold them, 4 and 5 rows of A, 6 and 7 columns of B.
fn asm(w: &mut Writer, cols: usize, nr: usize) {
    let sum = |i: usize, j: usize| i * cols + j;
    let tiles: Vec<_> = (0..2).flat_map(|i| (0..cols).map(move |j| (i, j))).collect();
    w.open_call("core::arch::asm!");
    for &(i, j) in &tiles {
        w.line(format!("\"tileloadd tmm{}, [{{head}} + {{none}} + {}]\",", sum(i, j), j * 4 * TILE));
    }
    w.line("\"2:\",");
    for j in 0..cols {
        w.line(format!("\"tileloadd tmm{}, [{{b}} + {{b_stride}} + {}]\",", 6 + j, j * 4 * TILE));
    }
    for i in 0..2 {
        let base = ["a", "a_low"][i];
        w.line(format!("\"tileloadd tmm{}, [{{{base}}} + {{a_stride}}]\",", 4 + i));
    }
    for &(i, j) in &tiles {
        w.line(format!("\"tdpbusd tmm{}, tmm{}, tmm{}\",", sum(i, j), 4 + i, 6 + j));
    }
    for (register, step) in [("a", K), ("a_low", K), ("b", K * nr)] {
        w.line(format!("\"add {{{register}}}, {step}\","));
    }
    w.line(format!("\"sub {{k}}, {K}\","));
    w.line("\"jnz 2b\",");
    for &(i, j) in &tiles {
        let at = 4 * (i * TILE * nr + j * TILE);
        w.line(format!("\"tilestored [{{held}} + {{b_stride}} + {at}], tmm{}\",", sum(i, j)));
    }
    w.line("head = in(reg) head,");
    w.line("none = in(reg) 0usize,");
    w.line("a = inout(reg) a => _,");
    w.line(format!("a_low = inout(reg) a.wrapping_add({TILE} * p.a_stride) => _,"));
    w.line("a_stride = in(reg) p.a_stride,");
    w.line(format!("b = inout(reg) head.wrapping_add({}) => _,", 8 * nr));
    // A row of a panel of B, and one of the sums: four bytes a column.
    w.line(format!("b_stride = in(reg) {}usize,", 4 * nr));
    w.line("k = inout(reg) p.k => _,");
    w.line("held = in(reg) held.as_mut_ptr(),");
    w.line("options(nostack),");
    w.close_call();
}

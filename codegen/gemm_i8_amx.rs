//! `gemm_i8` on tile registers: `C[32 x NR] += A[32 x 64] * B[64 x NR]` a step, four tiles of 16 x 16 sums.
//!
//! B is packed as for the level's other products: 16 units of k of a panel are a tile of B as it lies in memory, rows a
//! panel's width apart. Tiles are of as many rows as share those of A evenly: 49 are four of 14, not four of 16. So are
//! steps of k: 96 bytes are two of 48.
//!
//! Tile registers are no operands that the compiler knows, so the loop over k, in which sums live in them, is one `asm!`
//! block, and it is emitted here rather than put together from words. What follows is: sums are stored, and become bytes
//! as those of every other product, but only after the next tiles were begun: the one is work for vectors, the other is
//! not, and side by side they take less time than one after the other.

use super::{Family, Kernel, gemm_i8, kernel_head, level::Level, writer::Writer};

/// Fewest rows of A.
pub const ROWS: usize = 8;
/// Most rows of A in a step: two tiles.
const STEP: usize = 2 * TILE;
/// Most bytes of k in a step: a row of a tile.
pub const K: usize = 4 * TILE;
/// Most rows of a tile, and i32 columns.
pub const TILE: usize = 16;

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let kernels = (1..=level.int8.gemm.len()).map(|cols| emit(w, level, cols)).collect();
    Family { field: "gemm_i8_amx", kernels }
}

fn emit(w: &mut Writer, level: &Level, cols: usize) -> Kernel {
    assert_eq!(level.lanes, TILE, "a tile is as wide as a register");
    let nr = cols * level.lanes;
    // Tiles are registers of their own; what is counted are those of the stores.
    let what = format!("`gemm_i8` on tiles, {STEP} rows by {nr} columns");
    let kernel = kernel_head(w, level, &format!("gemm_i8_{STEP}x{nr}"), "GemmI8", &what, 4 + cols + 4);
    let group = 4 / cols;
    assert!(2 * group <= ROWS, "a tile of rows for what is stored at a time");
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.line(format!("let steps = p.tiles.div_ceil({STEP});"));
    w.line(format!("let rows = p.tiles.div_ceil(2 * steps).next_multiple_of({group});"));
    w.line("// The last tile ends with the last row, whatever the one before it has done of it.");
    w.line("let first = |tile: usize| (tile * rows).min(p.tiles - rows);");
    w.line("// The lines of the next panel to fetch beside each tile.");
    w.line(format!("let lines = if p.ahead {{ p.panel_len.div_ceil({} * steps) }} else {{ 0 }};", 64 * 2 * cols));
    w.line("// Sums of this step and of the one before it.");
    w.line(format!("let mut held = core::mem::MaybeUninit::<v::Held<{}>>::uninit();", STEP * nr));
    w.line("let held = held.as_mut_ptr().cast::<i32>();");
    w.line("let (mut now, mut before) = ((0, 0), None);");
    w.line(format!("let by = p.k / p.k.div_ceil({K});"));
    w.line("let config = v::Config::new(rows, by);");
    w.line("unsafe { v::begin(&config) };");
    w.line("let mut to = held;");
    w.open("loop");
    w.line("let (panel, step) = now;");
    w.line("let head = p.b.wrapping_add(panel * p.panel_len);");
    w.line("let more = panel < p.panels;");
    w.open("if more");
    for (i, name) in ["a", "a_low"].iter().enumerate() {
        w.line(format!("let {name} = p.a.wrapping_add(first(2 * step + {i}) * p.a_stride);"));
    }
    w.open("unsafe");
    asm(w, cols, nr);
    w.close();
    w.close();
    w.line(format!("let mut behind = head.wrapping_add(p.panel_len + step * {} * lines * 64);", 2 * cols));
    w.line(format!("let from = held.wrapping_add(if to == held {{ {} }} else {{ 0 }});", STEP * nr));
    w.open(format!("for tile in 0..{}", 2 * cols));
    w.open("if more");
    w.open("for _ in 0..lines");
    w.line("v::prefetch(behind.cast());");
    w.line("behind = behind.wrapping_add(64);");
    w.close();
    w.line(format!(
        "unsafe {{ v::store_tile(tile, to.add(tile / {cols} * {} + tile % {cols} * {TILE}), {}) }};",
        TILE * nr,
        4 * nr
    ));
    w.close();
    w.line("let Some((panel, step)) = before else { continue };");
    w.line("let head = p.b.wrapping_add(panel * p.panel_len);");
    for j in 0..cols {
        w.line(format!("let bias{j} = unsafe {{ v::load_i32(head.add({}).cast()) }};", 4 * j * TILE));
    }
    w.line(format!("let (low, part) = (tile / {cols}, tile % {cols});"));
    w.line(format!("let [start, end] = [part, part + 1].map(|part| part * (rows / {group}) / {cols} * {group});"));
    w.line("let row = first(2 * step + low) + start;");
    for (to, stride) in [("c", "c_stride"), ("sums", "sums_stride")] {
        w.line(format!("let mut {to} = p.{to}.wrapping_add(panel * p.panel_columns + row * p.{stride});"));
    }
    w.line(format!("let mut from = unsafe {{ from.add((low * {TILE} + start) * {nr}) }};"));
    w.open(format!("for _ in (start..end).step_by({group})"));
    for (i, j) in (0..group).flat_map(|i| (0..cols).map(move |j| (i, j))) {
        w.line(format!(
            "let c{i}_{j} = v::add_i32(bias{j}, unsafe {{ v::load_i32(from.add({})) }});",
            i * nr + j * TILE
        ));
    }
    gemm_i8::store(w, level, group, cols, "c");
    w.line(format!("from = from.wrapping_add({});", group * nr));
    w.line(format!("c = c.wrapping_add({group} * p.c_stride);"));
    w.line(format!("sums = sums.wrapping_add({group} * p.sums_stride);"));
    w.close();
    w.close();
    w.open("if !more");
    w.line("break;");
    w.close();
    w.line("(to, before) = (from, Some(now));");
    w.line("now = if step + 1 < steps { (panel, step + 1) } else { (panel + 1, 0) };");
    w.close();
    w.line("unsafe { v::end() };");
    w.close();
    kernel
}

/// Sums of `p.k` bytes, at least one step of `by`: tiles 0 to 3 hold them, 4 and 5 rows of A, 6 and 7 columns of B.
fn asm(w: &mut Writer, cols: usize, nr: usize) {
    let sum = |i: usize, j: usize| i * cols + j;
    let tiles: Vec<_> = (0..2).flat_map(|i| (0..cols).map(move |j| (i, j))).collect();
    w.open_call("core::arch::asm!");
    for &(i, j) in &tiles {
        w.line(format!("\"tilezero tmm{}\",", sum(i, j)));
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
    for register in ["a", "a_low"] {
        w.line(format!("\"add {{{register}}}, {{by}}\","));
    }
    w.line("\"add {b}, {b_by}\",");
    w.line("\"sub {k}, {by}\",");
    w.line("\"jnz 2b\",");
    w.line("a = inout(reg) a => _,");
    w.line("a_low = inout(reg) a_low => _,");
    w.line("a_stride = in(reg) p.a_stride,");
    w.line(format!("b = inout(reg) head.wrapping_add({}) => _,", 8 * nr));
    // A row of a panel of B: four bytes a column.
    w.line(format!("b_stride = in(reg) {}usize,", 4 * nr));
    w.line(format!("b_by = in(reg) {nr} * by,"));
    w.line("k = inout(reg) p.k => _,");
    w.line("by = in(reg) by,");
    w.line("options(nostack),");
    w.close_call();
}

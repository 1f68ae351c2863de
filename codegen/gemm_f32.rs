//! `C[m x n] = clamp(bias + A[m x k] * B[k x n])`.
//!
//! B is packed in panels of NR columns that begin with their bias row, then one row per k. A is read through a table
//! of row pointers: row i of A is `taps` runs of `run` values, run t at `rows[i * taps + t] + offset`. A pointwise
//! convolution has one run a row; a convolution has a run for each kernel tap (or kernel row, where taps adjoin), and
//! needs no copy of the image.
//!
//! ```text
//! for each panel of B                        kept in L1 while the rows pass
//!     for each tile of MR rows
//!         c[MR][NR] = bias row
//!         for each run, for each k in the run
//!             c[i][j] = fma(a[i][k], b[k][j], c[i][j])
//!         store the clamped tile
//! ```
//! Each C is one chain over k in ascending order: no sum is ever split, so the bits are those of the reference.

use super::{
    Family, Kernel, kernel_head, level::Level, offset, opaque_row, prefetch, prefetch_panel, prefetch_tile,
    writer::Writer,
};

/// Values of a cache line.
const LINE: usize = 16;

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let mut kernels = Vec::new();
    for (cols, &max) in (1..).zip(level.gemm) {
        kernels.extend((1..=max).map(|mr| emit(w, level, mr, cols)));
    }
    Family { field: "gemm_f32", kernels }
}

fn emit(w: &mut Writer, level: &Level, mr: usize, cols: usize) -> Kernel {
    let lanes = level.lanes;
    let nr = cols * lanes;
    // Splat: a row of B is held and A streams through one register. By lane: A is held and B streams.
    let held = if level.a_step == 1 { cols } else { mr };
    let used = mr * cols + held + 1;

    let what = format!("`gemm_f32` in tiles of {mr}x{nr}");
    let kernel = kernel_head(w, level, &format!("gemm_f32_{mr}x{nr}"), "GemmF32", &what, used);
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    w.open("for panel in 0..p.panels");
    w.line("let (mut rows, mut c) = (p.rows, unsafe { p.c.add(panel * p.panel_columns) });");
    w.line("let head = unsafe { p.b.add(panel * p.panel_len) };");
    prefetch_panel(w, level, 4 * nr);
    w.open("for _ in 0..p.tiles");
    prefetch_tile(w, level);
    w.line("let mut b = head;");
    prefetch_tile_of_c(w, level, mr, nr);
    for j in 0..cols {
        w.line(format!("let mut c0_{j} = unsafe {{ v::load(b.add({})) }};", j * lanes));
    }
    for i in 1..mr {
        for j in 0..cols {
            w.line(format!("let mut c{i}_{j} = c0_{j};"));
        }
    }
    w.line(format!("b = unsafe {{ b.add({nr}) }};"));
    w.open("for tap in 0..p.taps");
    for i in 0..mr {
        let row = format!("unsafe {{ p.row(rows, {i}, tap) }}");
        // Wider tiles have products enough to hide it.
        w.line(format!("let a{i} = {};", opaque_row(level.a_step > 1 && cols <= 2 || level.unroll > 1, row)));
    }
    w.line("let mut k = 0;");
    let turn = level.a_step * level.unroll;
    k_loop(w, level, mr, cols, turn);
    if turn > 1 {
        k_loop(w, level, mr, cols, 1);
    }
    w.close();
    store(w, level, mr, cols);
    w.line(format!("rows = unsafe {{ rows.add({mr} * p.taps) }};"));
    w.line(format!("c = c.wrapping_add({mr} * p.c_stride);"));
    w.close();
    w.close();
    w.close();
    kernel
}

/// So that stores of a whole tile at once do not wait for their lines, and the next tile for them, where k is small and C
/// beyond L2; `codegen/README.md` has what that gains. In bytes, a quarter of the lines, no difference was found.
fn prefetch_tile_of_c(w: &mut Writer, level: &Level, mr: usize, nr: usize) {
    if !level.prefetch {
        return;
    }
    for (i, j) in (0..mr).flat_map(|i| (0..nr).step_by(LINE).map(move |j| (i, j))) {
        w.line(format!("v::prefetch_write(c.wrapping_add({i} * p.c_stride + {j}).cast());"));
    }
}

/// `step` values of k a turn.
fn k_loop(w: &mut Writer, level: &Level, mr: usize, cols: usize, step: usize) {
    let (lanes, nr) = (level.lanes, cols * level.lanes);
    w.open(if step == 1 { "while k < p.run".into() } else { format!("while k + {step} <= p.run") });
    if step == 1 || level.a_step == 1 {
        for s in 0..step {
            for j in 0..cols {
                w.line(format!("let y{j} = unsafe {{ v::load(b.add({})) }};", s * nr + j * lanes));
            }
            for i in 0..mr {
                w.line(format!("let x = unsafe {{ v::splat_at(a{i}.add({})) }};", offset("k", s)));
                for j in 0..cols {
                    w.line(format!("c{i}_{j} = v::fma(x, y{j}, c{i}_{j});"));
                }
            }
        }
    } else {
        for i in 0..mr {
            w.line(format!("let x{i} = unsafe {{ v::load(a{i}.add(k)) }};"));
        }
        for s in 0..step {
            for j in 0..cols {
                w.line(format!("let y = unsafe {{ v::load(b.add({})) }};", s * nr + j * lanes));
                for i in 0..mr {
                    w.line(format!("c{i}_{j} = v::fma_lane::<{s}>(x{i}, y, c{i}_{j});"));
                }
            }
        }
    }
    w.line(format!("b = unsafe {{ b.add({}) }};", step * nr));
    prefetch(w, level, step);
    w.line(format!("k += {step};"));
    w.close();
}

/// The last register of a row lies at `p.last`, where it may overlap the one before it: no mask is needed unless C is
/// narrower than a register, and that is told apart once a tile.
fn store(w: &mut Writer, level: &Level, mr: usize, cols: usize) {
    let at = |j: usize| if j + 1 == cols { "p.last".to_string() } else { (j * level.lanes).to_string() };
    if cols == 1 {
        w.open(format!("if p.columns < {}", level.lanes));
        for i in 0..mr {
            let value = format!("v::clamp(c{i}_0, lo, hi)");
            w.line(format!("unsafe {{ v::store_n(c.add({i} * p.c_stride), {value}, p.columns) }};"));
        }
        w.close_open("else");
    }
    for i in 0..mr {
        for j in 0..cols {
            let value = format!("v::clamp(c{i}_{j}, lo, hi)");
            w.line(format!("unsafe {{ v::store(c.add({i} * p.c_stride + {}), {value}) }};", at(j)));
        }
    }
    if cols == 1 {
        w.close();
    }
}

/// One row of A by several full panels side by side: a batch of one is bound by reading B, and one panel alone has too
/// few chains to cover the latency of `fma`.
pub fn emit_gemv(w: &mut Writer, level: &Level) -> Family {
    let (lanes, nr, panels) = (level.lanes, level.nr(), level.gemv_panels);
    let cols = nr / lanes;
    let what = format!("`gemm_f32` for single rows, {panels} panels of {nr} columns side by side");
    let used = panels * cols + 2;
    let kernel = kernel_head(w, level, &format!("gemv_f32_1x{}", panels * nr), "GemmF32", &what, used);
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    w.open(format!("for step in 0..p.panels / {panels}"));
    w.line(format!("let (mut rows, mut c) = (p.rows, unsafe {{ p.c.add(step * {panels} * p.panel_columns) }});"));
    w.open("for _ in 0..p.tiles");
    for q in 0..panels {
        w.line(format!("let mut b{q} = unsafe {{ p.b.add((step * {panels} + {q}) * p.panel_len) }};"));
        for j in 0..cols {
            w.line(format!("let mut c{q}_{j} = unsafe {{ v::load(b{q}.add({})) }};", j * lanes));
        }
        w.line(format!("b{q} = unsafe {{ b{q}.add({nr}) }};"));
    }
    w.open("for tap in 0..p.taps");
    w.line("let a0 = unsafe { p.row(rows, 0, tap) };");
    w.open("for k in 0..p.run");
    w.line("let x = unsafe { v::splat_at(a0.add(k)) };");
    for q in 0..panels {
        for j in 0..cols {
            w.line(format!("c{q}_{j} = v::fma(x, unsafe {{ v::load(b{q}.add({})) }}, c{q}_{j});", j * lanes));
        }
        w.line(format!("b{q} = unsafe {{ b{q}.add({nr}) }};"));
    }
    w.close();
    w.close();
    for q in 0..panels {
        for j in 0..cols {
            let value = format!("v::clamp(c{q}_{j}, lo, hi)");
            w.line(format!("unsafe {{ v::store(c.add({q} * p.panel_columns + {}), {value}) }};", j * lanes));
        }
    }
    w.line("rows = unsafe { rows.add(p.taps) };");
    w.line("c = c.wrapping_add(p.c_stride);");
    w.close();
    w.close();
    w.close();
    Family { field: "gemv_f32", kernels: vec![kernel] }
}

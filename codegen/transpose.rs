//! `dst[c][r] = src[r][c]` for any 32-bit element, in square tiles of registers; tiles at an edge are loaded and stored
//! in part.

use super::{Family, kernel_head, level::Level, list, writer::Writer};

pub fn emit(w: &mut Writer, level: &Level) -> Family {
    let lanes = level.lanes;
    let what = format!("Transposition in tiles of {lanes}x{lanes}");
    let kernel = kernel_head(w, level, "transpose_x32", "TransposeX32", &what, (2 * lanes).min(level.registers));
    w.open(format!("for r in (0..p.rows).step_by({lanes})"));
    w.open(format!("for c in (0..p.cols).step_by({lanes})"));
    w.line("let src = unsafe { p.src.add(r * p.src_stride + c) };");
    w.line("let dst = unsafe { p.dst.add(c * p.dst_stride + r) };");
    w.line(format!("let (rows, cols) = ((p.rows - r).min({lanes}), (p.cols - c).min({lanes}));"));
    w.open(format!("if rows == {lanes} && cols == {lanes}"));
    let loads = list(0..lanes, |i| format!("v::load(src.add({i} * p.src_stride))"));
    w.line(format!("let t = v::transpose(unsafe {{ [{loads}] }});"));
    for i in 0..lanes {
        w.line(format!("unsafe {{ v::store(dst.add({i} * p.dst_stride), t[{i}]) }};"));
    }
    w.close_open("else");
    w.line(format!("let mut t = [v::splat(0.0); {lanes}];"));
    w.open("for (i, t) in t.iter_mut().enumerate().take(rows)");
    w.line("*t = unsafe { v::load_n(src.add(i * p.src_stride), cols) };");
    w.close();
    w.line("let t = v::transpose(t);");
    w.open("for (i, &t) in t.iter().enumerate().take(cols)");
    w.line("unsafe { v::store_n(dst.add(i * p.dst_stride), t, rows) };");
    w.close();
    w.close();
    w.close();
    w.close();
    w.close();
    Family { field: "transpose_x32", kernels: vec![kernel] }
}

//! `dst[c][r] = src[r][c]` for any element of 32 bits, in square tiles of registers, and of 8 bits, in tiles of sixteen
//! rows of sixteen bytes on every level; tiles at an edge are loaded and stored in part.

use super::{Family, kernel_head, level::Level, list, writer::Writer};

/// The words for one size of element.
struct Element {
    family: &'static str,
    args: &'static str,
    /// Elements of a row of a tile, and rows.
    side: usize,
    load: &'static str,
    store: &'static str,
    /// A row of which nothing is stored.
    nothing: &'static str,
    transpose: &'static str,
}

pub fn emit_x32(w: &mut Writer, level: &Level) -> Family {
    let element = Element {
        family: "transpose_x32",
        args: "TransposeX32",
        side: level.lanes,
        load: "load",
        store: "store",
        nothing: "splat(0.0)",
        transpose: "transpose",
    };
    emit(w, level, &element)
}

pub fn emit_x8(w: &mut Writer, level: &Level) -> Family {
    let element = Element {
        family: "transpose_x8",
        args: "TransposeX8",
        side: 16,
        load: "load_row16",
        store: "store_row16",
        nothing: "no_row16()",
        transpose: "transpose_bytes",
    };
    emit(w, level, &element)
}

fn emit(w: &mut Writer, level: &Level, element: &Element) -> Family {
    let Element { family, args, side, load, store, nothing, transpose } = *element;
    let what = format!("Transposition in tiles of {side}x{side}");
    let kernel = kernel_head(w, level, family, args, &what, (2 * side).min(level.registers));
    w.open(format!("for r in (0..p.rows).step_by({side})"));
    w.open(format!("for c in (0..p.cols).step_by({side})"));
    w.line("let src = unsafe { p.src.add(r * p.src_stride + c) };");
    w.line("let dst = unsafe { p.dst.add(c * p.dst_stride + r) };");
    w.line(format!("let (rows, cols) = ((p.rows - r).min({side}), (p.cols - c).min({side}));"));
    w.open(format!("if rows == {side} && cols == {side}"));
    let loads = list(0..side, |i| format!("v::{load}(src.add({i} * p.src_stride))"));
    w.line(format!("let t = v::{transpose}(unsafe {{ [{loads}] }});"));
    for i in 0..side {
        w.line(format!("unsafe {{ v::{store}(dst.add({i} * p.dst_stride), t[{i}]) }};"));
    }
    w.close_open("else");
    w.line(format!("let mut t = [v::{nothing}; {side}];"));
    w.open("for (i, t) in t.iter_mut().enumerate().take(rows)");
    w.line(format!("*t = unsafe {{ v::{load}_n(src.add(i * p.src_stride), cols) }};"));
    w.close();
    w.line(format!("let t = v::{transpose}(t);"));
    w.open("for (i, &t) in t.iter().enumerate().take(cols)");
    w.line(format!("unsafe {{ v::{store}_n(dst.add(i * p.dst_stride), t, rows) }};"));
    w.close();
    w.close();
    w.close();
    w.close();
    w.close();
    Family { field: family, kernels: vec![kernel] }
}

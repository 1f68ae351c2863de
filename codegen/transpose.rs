//! `dst[c][r] = src[r][c]` for any element of 32 bits, in square tiles of registers, and of 8 bits, in tiles of sixteen
//! rows of sixteen bytes on every level; tiles at an edge are loaded and stored in part.

use super::{Family, kernel_head, level::Level, list, target_features, writer::Writer};

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
    transpose: String,
}

pub fn emit_x32(w: &mut Writer, level: &Level) -> Family {
    let element = Element {
        family: "transpose_x32",
        args: "TransposeX32",
        side: level.lanes,
        load: "load",
        store: "store",
        nothing: "splat(0.0)",
        transpose: "v::transpose".into(),
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
        transpose: emit_zip(w, level, 1, 16),
    };
    emit(w, level, &element)
}

fn emit(w: &mut Writer, level: &Level, element: &Element) -> Family {
    let Element { family, args, side, load, store, nothing, ref transpose } = *element;
    let what = format!("Transposition in tiles of {side}x{side}");
    let kernel = kernel_head(w, level, family, args, &what, (2 * side).min(level.registers));
    w.open(format!("for r in (0..p.rows).step_by({side})"));
    w.open(format!("for c in (0..p.cols).step_by({side})"));
    w.line("let src = unsafe { p.src.add(r * p.src_stride + c) };");
    w.line("let dst = unsafe { p.dst.add(c * p.dst_stride + r) };");
    w.line(format!("let (rows, cols) = ((p.rows - r).min({side}), (p.cols - c).min({side}));"));
    w.open(format!("if rows == {side} && cols == {side}"));
    let loads = list(0..side, |i| format!("v::{load}(src.add({i} * p.src_stride))"));
    w.line(format!("let t = {transpose}(unsafe {{ [{loads}] }});"));
    for i in 0..side {
        w.line(format!("unsafe {{ v::{store}(dst.add({i} * p.dst_stride), t[{i}]) }};"));
    }
    w.close_open("else");
    w.line(format!("let mut t = [v::{nothing}; {side}];"));
    w.open("for (i, t) in t.iter_mut().enumerate().take(rows)");
    w.line(format!("*t = unsafe {{ v::{load}_n(src.add(i * p.src_stride), cols) }};"));
    w.close();
    w.line(format!("let t = {transpose}(t);"));
    w.open("for (i, &t) in t.iter().enumerate().take(cols)");
    w.line(format!("unsafe {{ v::{store}_n(dst.add(i * p.dst_stride), t, rows) }};"));
    w.close();
    w.close();
    w.close();
    w.close();
    w.close();
    Family { field: family, kernels: vec![kernel] }
}

/// A function that takes `rows` rows and gives as many: the first elements of all, then the second, and so on. Its name.
pub fn emit_zip(w: &mut Writer, level: &Level, size: usize, rows: usize) -> String {
    let (name, radix) = (format!("zip{rows}_x{}", 8 * size), if rows == 3 { 3 } else { 2 });
    let all = list(0..rows, |i| format!("t{i}"));
    w.line("");
    w.line(format!("/// Element by element of {rows} rows."));
    w.line(if level.features.is_empty() { "#[inline(always)]" } else { "#[inline]" });
    target_features(w, level);
    w.open(format!("fn {name}([{all}]: [v::Row; {rows}]) -> [v::Row; {rows}]"));
    // What is `rows / radix` apart becomes adjacent, until all that were apart have.
    let mut adjacent = 1;
    while adjacent < rows {
        let apart = rows / radix;
        let zipped = list(0..apart, |i| format!("[{}]", list(radix * i..radix * (i + 1), |i| format!("t{i}"))));
        let zips = list(0..apart, |i| {
            format!("v::zip{radix}_x{}({})", 8 * size, list(0..radix, |j| format!("t{}", i + j * apart)))
        });
        w.line(format!("let [{zipped}] = [{zips}];"));
        adjacent *= radix;
    }
    w.line(format!("[{all}]"));
    w.close();
    name
}

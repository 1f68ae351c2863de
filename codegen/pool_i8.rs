//! Pooling of bytes over a window that lies inside the image, channels last.
//!
//! Sums: `sums[c] = start + in[0][c] + in[1][c] + ..` in i32, of which `requantise_i8` makes averages. Maximum:
//! `out[c] = min(max(min, in[0][c], in[1][c], ..), max)`. Bytes are added and compared as u8, some of their bits flipped.
//! Several registers of channels at a time, then one; the last ends with the last channel and recomputes what it shares
//! with the one before.

use super::{Family, kernel_head, level::Level, writer::Writer};

const REGISTERS: usize = 4;

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let sums = kernel_head(w, level, "sum_i8", "PoolI8", "Sums of a window", REGISTERS + 2);
    w.line("let start = v::splat_i32(p.start);");
    let add =
        |y: &str, r: usize| format!("v::add_i32({y}, unsafe {{ v::widen(at.add(c + {}), p.flip) }})", r * level.lanes);
    let add_n = |y: &str, _| format!("v::add_i32({y}, unsafe {{ v::widen_n(at, p.flip, p.channels) }})");
    let store = |y: &str, r: usize| format!("v::store_i32(p.sums.add(c + {}), {y})", r * level.lanes);
    let store_n = |y: &str, _| format!("v::store_i32_n(p.sums, {y}, p.channels)");
    channels(w, level.lanes, "start", [&add, &store], [&add_n, &store_n]);

    let bytes = 4 * level.lanes;
    let maximum = kernel_head(w, level, "maxpool_i8", "PoolI8", "Maximum of a window", REGISTERS + 4);
    w.line("let (low, high) = (v::splat_bytes(p.min), v::splat_bytes(p.max));");
    w.line("let flip = v::splat_bytes(p.flip);");
    let max = |load: String, y: &str| format!("v::max_bytes({y}, v::flip_bytes(unsafe {{ {load} }}, flip))");
    let held = |y: &str| format!("v::flip_bytes(v::min_bytes({y}, high), flip)");
    let greater = |y: &str, r: usize| max(format!("v::load_bytes(at.add(c + {}))", r * bytes), y);
    let greater_n = |y: &str, _| max("v::load_bytes_n(at, p.channels)".into(), y);
    let store = |y: &str, r: usize| format!("v::store_bytes(p.out.add(c + {}), {})", r * bytes, held(y));
    let store_n = |y: &str, _| format!("v::store_bytes_n(p.out, {}, p.channels)", held(y));
    channels(w, bytes, "low", [&greater, &store], [&greater_n, &store_n]);
    Family { field: "pool_i8", kernels: vec![sums, maximum] }
}

/// What is done to a register: its name and its number.
type Word<'a> = &'a dyn Fn(&str, usize) -> String;

/// All channels, `lanes` in a register: each begins as `first`, takes every pixel of the window and is stored. `part`: of
/// fewer channels than a register.
fn channels(w: &mut Writer, lanes: usize, first: &str, whole: [Word<'_>; 2], part: [Word<'_>; 2]) {
    w.line("let mut c = 0;");
    w.open(format!("while c + {} <= p.channels", REGISTERS * lanes));
    window(w, REGISTERS, first, whole);
    w.line(format!("c += {};", REGISTERS * lanes));
    w.close();
    w.open(format!("while c < p.channels && p.channels >= {lanes}"));
    w.line(format!("c = c.min(p.channels - {lanes});"));
    window(w, 1, first, whole);
    w.line(format!("c += {lanes};"));
    w.close();
    w.open("if c < p.channels");
    window(w, 1, first, part);
    w.close();
    w.close();
}

fn window(w: &mut Writer, registers: usize, first: &str, [take, store]: [Word<'_>; 2]) {
    for r in 0..registers {
        w.line(format!("let mut y{r} = {first};"));
    }
    w.open("for row in 0..p.rows");
    w.open("for col in 0..p.cols");
    w.line("let at = unsafe { p.input.add(row * p.row_stride + col * p.col_stride) };");
    for r in 0..registers {
        w.line(format!("y{r} = {};", take(&format!("y{r}"), r)));
    }
    w.close();
    w.close();
    for r in 0..registers {
        w.line(format!("unsafe {{ {} }};", store(&format!("y{r}"), r)));
    }
}

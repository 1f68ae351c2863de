//! Depthwise convolution, channels last: `out[x][c] = clamp(bias[c] + sum over taps of in[..][c] * w[tap][c])`.
//!
//! The input is read through tables of pixel pointers, one table for each of the K kernel rows. An entry outside the
//! image points at zeros, so an edge is data, not code. Weights are packed in blocks of one register of channels:
//! the bias, then the K * K taps.
//!
//! ```text
//! for each group of X output pixels of the row       the last group may overlap the one before it
//!     for each block of channels                     the last block may overlap the one before it
//!         y[Q][X] = bias                             of Q output rows, one below the other
//!         for each input row r that they see
//!             for each output row q that sees it, hold the K weights of its kernel row r - q * S
//!             for each input pixel j of the group    loaded once, used by up to Q * K outputs
//!                 y[q][o] = fma(in[r][j], w[r - q * S][j - o * S], y[q][o])   where 0 <= j - o * S < K
//!         store the clamped y
//! ```
//! For each output the taps come row by row and left to right, as in the reference. Channels innermost, because with
//! one block at a time over a whole row all pixels of a power-of-two width fall into a few cache sets.

use super::{Family, Kernel, kernel_head, level::Level, writer::Writer};
use std::ops::Range;

/// Kernel sizes and strides with a kernel of their own, in the order of the table.
pub const SHAPES: [(usize, usize); 6] = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)];

/// Pixels that the kernel for any taps computes at a time.
pub const TAPS_PIXELS: [usize; 2] = [4, 1];

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let mut kernels = Vec::new();
    for (shape, rows) in SHAPES.into_iter().flat_map(|shape| (1..=level.dw_rows).map(move |rows| (shape, rows))) {
        kernels.extend(level.dw_pixels.iter().map(|&pixels| emit(w, level, shape, rows, pixels)));
    }
    Family { field: "dwconv_f32", kernels }
}

fn emit(w: &mut Writer, level: &Level, (k, s): (usize, usize), rows: usize, pixels: usize) -> Kernel {
    let lanes = level.lanes;
    let what = format!("Depthwise {k}x{k}, stride {s}, {rows}x{pixels} output pixels by {lanes} channels a step");
    let used = rows * (pixels + k) + 1;
    let kernel = kernel_head(w, level, &format!("dwconv_f32_k{k}s{s}_{rows}x{pixels}"), "DwConvF32", &what, used);
    // Where there is room for little else, weights are loaded for each row that uses them: LLVM would spill accumulators.
    let load_weights = rows > 1 && s == 1 && used + 4 > level.registers;
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    w.open(format!("for group in 0..p.width.div_ceil({pixels})"));
    w.line(format!("let x = (group * {pixels}).min(p.width - {pixels});"));
    w.line("let out = unsafe { p.out.add(x * p.out_stride) };");
    per_block(w, level, false, &(k * k).to_string(), |w, block| {
        (0..rows).for_each(|q| block.begin(w, q, pixels, "w"));
        for (range, seen) in input_rows(k, s, rows) {
            w.open(format!("for r in {}..{}", range.start, range.end));
            w.line(format!("let cols = unsafe {{ p.rows[r].add(x * {s}) }};"));
            if load_weights {
                w.line("let w = v::opaque(w);");
            }
            for q in seen.clone() {
                w.line(format!("let w{q} = unsafe {{ w.add({lanes} + (r - {}) * {}) }};", q * s, k * lanes));
                for i in 0..k {
                    w.line(format!("let w{q}_{i} = unsafe {{ v::load(w{q}.add({})) }};", i * lanes));
                }
            }
            for j in 0..(pixels - 1) * s + k {
                block.load(w, 0, &format!("cols.add({j})"));
                for q in seen.clone() {
                    for o in (0..pixels).filter(|o| (o * s..o * s + k).contains(&j)) {
                        w.line(format!("y{q}_{o} = v::fma(x, w{q}_{}, y{q}_{o});", j - o * s));
                    }
                }
            }
            w.close();
        }
        for q in 0..rows {
            w.line(format!("let to = unsafe {{ out.add({q} * p.out_row_stride + c) }};"));
            block.store(w, level, q, pixels);
        }
    });
    w.close();
    w.close();
    kernel
}

/// Input rows, and which output rows see them. At stride 1 the weights of an input row are those of the next one, too,
/// for the next output row: rows are written out one by one for LLVM to keep them.
fn input_rows(k: usize, s: usize, rows: usize) -> Vec<(Range<usize>, Range<usize>)> {
    match (rows, s) {
        (1, _) => vec![(0..k, 0..1)],
        (2, 1) => (0..k + 1).map(|r| (r..r + 1, usize::from(r == k)..2.min(r + 1))).collect(),
        (2, _) => vec![(0..s, 0..1), (s..k, 0..2), (k..k + s, 1..2)],
        _ => unreachable!("{rows} output rows"),
    }
}

/// Any taps: `p.rows[0]` holds `taps` pixel pointers for each output pixel.
pub fn emit_taps(w: &mut Writer, level: &Level) -> Family {
    let lanes = level.lanes;
    let most = if level.taps_pairs { 2 } else { 1 };
    let kernels = TAPS_PIXELS.map(|pixels| {
        let channels = most * lanes;
        let what = format!("Depthwise with any taps, {pixels} output pixels by {channels} channels a step");
        let used = (pixels + 2) * most;
        let kernel = kernel_head(w, level, &format!("dwconv_f32_tapsx{pixels}"), "DwConvF32", &what, used);
        w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
        w.open(format!("for group in 0..p.width / {pixels}"));
        w.line(format!("let x = group * {pixels};"));
        w.line("let out = unsafe { p.out.add(x * p.out_stride) };");
        w.line("let rows = unsafe { p.rows[0].add(x * p.taps) };");
        per_block(w, level, level.taps_pairs, "p.taps", |w, block| {
            let registers = if let Block::Pair = block { 2 } else { 1 };
            for q in 0..registers {
                w.line(format!("let w{q} = unsafe {{ w.add({q} * {lanes} * (p.taps + 1)) }};"));
                block.begin(w, q, pixels, &format!("w{q}"));
            }
            w.open("for tap in 0..p.taps");
            for q in 0..registers {
                w.line(format!("let t{q} = unsafe {{ v::load(w{q}.add((1 + tap) * {lanes})) }};"));
            }
            for (o, q) in (0..pixels).flat_map(|o| (0..registers).map(move |q| (o, q))) {
                block.load(w, q, &format!("rows.add({o} * p.taps + tap)"));
                w.line(format!("y{q}_{o} = v::fma(x, t{q}, y{q}_{o});"));
            }
            w.close();
            for q in 0..registers {
                w.line(format!("let to = unsafe {{ out.add(c + {q} * {lanes}) }};"));
                block.store(w, level, q, pixels);
            }
        });
        w.close();
        w.close();
        kernel
    });
    Family { field: "dwconv_taps_f32", kernels: kernels.into() }
}

/// How channels are read and written.
#[derive(Clone, Copy)]
enum Block {
    /// One register.
    Full,
    /// Two, of which each is at its own offset to a pixel's pointer.
    Pair,
    /// The first `p.channels` lanes.
    Part,
}

impl Block {
    /// The biases of a row or register.
    fn begin(self, w: &mut Writer, q: usize, pixels: usize, from: &str) {
        for o in 0..pixels {
            w.line(format!("let mut y{q}_{o} = unsafe {{ v::load({from}) }};"));
        }
    }

    /// A register of a pixel.
    fn load(self, w: &mut Writer, register: usize, pixel: &str) {
        w.line(match self {
            Block::Full => format!("let x = unsafe {{ v::load((*{pixel}).add(at)) }};"),
            Block::Pair => format!("let x = unsafe {{ v::load((*{pixel}).add(at{register})) }};"),
            Block::Part => format!("let x = unsafe {{ v::load_n((*{pixel}).add(at), p.channels) }};"),
        });
    }

    /// Stores the clamped outputs of a row or register from `to` on.
    fn store(self, w: &mut Writer, level: &Level, q: usize, pixels: usize) {
        for o in 0..pixels {
            // NEON: a step for each pixel, where LLVM would compute an index for each.
            let stepped = o > 0 && level.a_step > 1;
            if stepped {
                w.line("let to = v::opaque(unsafe { to.add(p.out_stride) }).cast_mut();");
            }
            let at = if stepped || o == 0 { "to".into() } else { format!("to.add({o} * p.out_stride)") };
            let value = format!("v::clamp(y{q}_{o}, lo, hi)");
            w.line(match self {
                Block::Part => format!("unsafe {{ v::store_n({at}, {value}, p.channels) }};"),
                _ => format!("unsafe {{ v::store({at}, {value}) }};"),
            });
        }
    }
}

/// `body` for every block of channels. Masked code only where there is less than one register of channels: mixed into
/// the main loop it would make LLVM spill.
fn per_block(w: &mut Writer, level: &Level, pairs: bool, taps: &str, body: impl Fn(&mut Writer, Block)) {
    let lanes = level.lanes;
    w.open(format!("if p.channels < {lanes}"));
    w.line("let (c, at, w) = (0, p.offset, p.w);");
    body(w, Block::Part);
    w.close_open("else");
    if pairs {
        w.line(format!("let pairs = p.channels / {};", 2 * lanes));
        w.open("for pair in 0..pairs");
        w.line(format!("let c = pair * {};", 2 * lanes));
        // Two registers of offsets, or LLVM adds to each pointer before it loads.
        w.line("let at0 = v::opaque_index(p.offset + c);");
        w.line(format!("let at1 = v::opaque_index(p.offset + c + {lanes});"));
        w.line(format!("let w = unsafe {{ p.w.add(c * ({taps} + 1)) }};"));
        body(w, Block::Pair);
        w.close();
    }
    w.open(format!("for block in {}..p.channels.div_ceil({lanes})", if pairs { "2 * pairs" } else { "0" }));
    w.line(format!("let c = (block * {lanes}).min(p.channels - {lanes});"));
    w.line("let at = p.offset + c;");
    w.line(format!("let w = unsafe {{ p.w.add(block * {lanes} * ({taps} + 1)) }};"));
    body(w, Block::Full);
    w.close();
    w.close();
}

//! Depthwise convolution, channels last: `out[x][c] = clamp(bias[c] + sum over taps of in[..][c] * w[tap][c])`.
//!
//! The input is read through tables of pixel pointers, one table for each of the K kernel rows. An entry outside the
//! image points at zeros, so an edge is data, not code. Weights are packed in blocks of one register of channels:
//! the bias, then the K * K taps.
//!
//! ```text
//! for each group of X output pixels of the row       the last group may overlap the one before it
//!     for each block of channels                     the last block may overlap the one before it
//!         y[X] = bias
//!         for each kernel row r
//!             hold the K weights of the row
//!             for each input pixel j of the group    loaded once, used by up to K outputs
//!                 y[o] = fma(in[r][j], w[r][j - o * S], y[o])   where 0 <= j - o * S < K
//!         store the clamped y
//! ```
//! For each output the taps come row by row and left to right, as in the reference. Channels innermost, because with
//! one block at a time over a whole row all pixels of a power-of-two width fall into a few cache sets.

use super::{Family, Kernel, kernel_head, level::Level, writer::Writer};

/// Kernel sizes and strides with a kernel of their own, in the order of the table.
pub const SHAPES: [(usize, usize); 6] = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)];

/// Pixels that the kernel for any taps computes at a time.
pub const TAPS_PIXELS: [usize; 2] = [4, 1];

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let mut kernels = Vec::new();
    for (k, s) in SHAPES {
        kernels.extend(level.dw_pixels.iter().map(|&x| emit(w, level, k, s, x)));
    }
    Family { field: "dwconv_f32", kernels }
}

fn emit(w: &mut Writer, level: &Level, k: usize, s: usize, pixels: usize) -> Kernel {
    let what = format!("Depthwise {k}x{k}, stride {s}, {pixels} output pixels by {} channels a step", level.lanes);
    let kernel = kernel_head(w, level, &format!("dwconv_f32_k{k}s{s}x{pixels}"), "DwConvF32", &what, pixels + k + 1);
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    w.open(format!("for group in 0..p.width.div_ceil({pixels})"));
    w.line(format!("let x = (group * {pixels}).min(p.width - {pixels});"));
    w.line("let out = unsafe { p.out.add(x * p.out_stride) };");
    per_block(w, level, &(k * k).to_string(), |w, block| {
        for o in 0..pixels {
            w.line(format!("let mut y{o} = unsafe {{ v::load(w) }};"));
        }
        w.open(format!("for r in 0..{k}"));
        w.line(format!("let cols = unsafe {{ p.rows[r].add(x * {s}) }};"));
        w.line(format!("let w = unsafe {{ w.add({} + r * {}) }};", level.lanes, k * level.lanes));
        for i in 0..k {
            w.line(format!("let w{i} = unsafe {{ v::load(w.add({})) }};", i * level.lanes));
        }
        for j in 0..(pixels - 1) * s + k {
            let used: Vec<_> = (0..pixels).filter(|o| (o * s..o * s + k).contains(&j)).collect();
            w.line(format!("let x = {};", block.load(&format!("(*cols.add({j})).add(at)"))));
            for o in used {
                w.line(format!("y{o} = v::fma(x, w{}, y{o});", j - o * s));
            }
        }
        w.close();
        block.store(w, pixels);
    });
    w.close();
    w.close();
    kernel
}

/// Any taps: `p.rows[0]` holds `taps` pixel pointers for each output pixel.
pub fn emit_taps(w: &mut Writer, level: &Level) -> Family {
    let kernels = TAPS_PIXELS.map(|pixels| {
        let what = format!("Depthwise with any taps, {pixels} output pixels by {} channels a step", level.lanes);
        let kernel = kernel_head(w, level, &format!("dwconv_f32_tapsx{pixels}"), "DwConvF32", &what, pixels + 2);
        w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
        w.open(format!("for group in 0..p.width / {pixels}"));
        w.line(format!("let x = group * {pixels};"));
        w.line("let out = unsafe { p.out.add(x * p.out_stride) };");
        w.line("let rows = unsafe { p.rows[0].add(x * p.taps) };");
        per_block(w, level, "p.taps", |w, block| {
            for o in 0..pixels {
                w.line(format!("let mut y{o} = unsafe {{ v::load(w) }};"));
            }
            w.open("for tap in 0..p.taps");
            w.line(format!("let w0 = unsafe {{ v::load(w.add((1 + tap) * {})) }};", level.lanes));
            for o in 0..pixels {
                let at = format!("(*rows.add({o} * p.taps + tap)).add(at)");
                w.line(format!("y{o} = v::fma({}, w0, y{o});", block.load(&at)));
            }
            w.close();
            block.store(w, pixels);
        });
        w.close();
        w.close();
        kernel
    });
    Family { field: "dwconv_taps_f32", kernels: kernels.into() }
}

/// How a block of channels is read and written.
#[derive(Clone, Copy)]
enum Block {
    Full,
    /// The first `p.channels` lanes.
    Part,
}

impl Block {
    fn load(self, at: &str) -> String {
        match self {
            Block::Full => format!("unsafe {{ v::load({at}) }}"),
            Block::Part => format!("unsafe {{ v::load_n({at}, p.channels) }}"),
        }
    }

    /// Stores the clamped outputs.
    fn store(self, w: &mut Writer, pixels: usize) {
        for o in 0..pixels {
            let (at, value) = (format!("out.add({o} * p.out_stride + c)"), format!("v::clamp(y{o}, lo, hi)"));
            w.line(match self {
                Block::Full => format!("unsafe {{ v::store({at}, {value}) }};"),
                Block::Part => format!("unsafe {{ v::store_n({at}, {value}, p.channels) }};"),
            });
        }
    }
}

/// `body` for every block of channels. Masked code only where there is less than one register of channels: mixed into
/// the main loop it would make LLVM spill.
fn per_block(w: &mut Writer, level: &Level, taps: &str, body: impl Fn(&mut Writer, Block)) {
    let lanes = level.lanes;
    w.open(format!("if p.channels < {lanes}"));
    w.line("let (c, at, w) = (0, p.offset, p.w);");
    body(w, Block::Part);
    w.close_open("else");
    w.open(format!("for block in 0..p.channels.div_ceil({lanes})"));
    w.line(format!("let c = (block * {lanes}).min(p.channels - {lanes});"));
    w.line("let at = p.offset + c;");
    w.line(format!("let w = unsafe {{ p.w.add(block * {lanes} * ({taps} + 1)) }};"));
    body(w, Block::Full);
    w.close();
    w.close();
}

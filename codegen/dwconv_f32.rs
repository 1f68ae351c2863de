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
//! Where a level has `dw_pairs` and registers enough, two blocks are taken at a time while there are two whole ones.
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
    // Where there is room, also for the pixels up to the next output: LLVM loads ahead, and spills accumulators for it.
    let pairs = level.dw_pairs && 2 * (pixels + k + 1 + s) <= level.registers;
    let registers = 1 + usize::from(pairs);
    let channels = registers * level.lanes;
    let what = format!("Depthwise {k}x{k}, stride {s}, {pixels} output pixels by {channels} channels a step");
    let used = (pixels + k + 1) * registers;
    let kernel = kernel_head(w, level, &format!("dwconv_f32_k{k}s{s}x{pixels}"), "DwConvF32", &what, used);
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    w.open(format!("for group in 0..p.width.div_ceil({pixels})"));
    w.line(format!("let x = (group * {pixels}).min(p.width - {pixels});"));
    w.line("let out = unsafe { p.out.add(x * p.out_stride) };");
    per_block(w, level, pairs, &(k * k).to_string(), |w, block| {
        block.begin(w, pixels);
        w.open(format!("for r in 0..{k}"));
        w.line(format!("let cols = unsafe {{ p.rows[r].add(x * {s}) }};"));
        for q in block.registers() {
            let name = block.name("w", q);
            w.line(format!("let {name} = unsafe {{ {name}.add({} + r * {}) }};", level.lanes, k * level.lanes));
        }
        for i in 0..k {
            block.weight(w, i, &(i * level.lanes).to_string());
        }
        for j in 0..(pixels - 1) * s + k {
            let used: Vec<_> = (0..pixels).filter(|o| (o * s..o * s + k).contains(&j)).collect();
            block.load(w, &format!("cols.add({j})"));
            for o in used {
                block.fma(w, o, j - o * s);
            }
        }
        w.close();
        block.store(w, level, pixels);
    });
    w.close();
    w.close();
    kernel
}

/// Any taps: `p.rows[0]` holds `taps` pixel pointers for each output pixel.
pub fn emit_taps(w: &mut Writer, level: &Level) -> Family {
    let kernels = TAPS_PIXELS.map(|pixels| {
        let registers = 1 + usize::from(level.dw_pairs);
        let channels = registers * level.lanes;
        let what = format!("Depthwise with any taps, {pixels} output pixels by {channels} channels a step");
        let used = (pixels + 2) * registers;
        let kernel = kernel_head(w, level, &format!("dwconv_f32_tapsx{pixels}"), "DwConvF32", &what, used);
        w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
        w.open(format!("for group in 0..p.width / {pixels}"));
        w.line(format!("let x = group * {pixels};"));
        w.line("let out = unsafe { p.out.add(x * p.out_stride) };");
        w.line("let rows = unsafe { p.rows[0].add(x * p.taps) };");
        per_block(w, level, level.dw_pairs, "p.taps", |w, block| {
            block.begin(w, pixels);
            w.open("for tap in 0..p.taps");
            block.weight(w, 0, &format!("(1 + tap) * {}", level.lanes));
            for o in 0..pixels {
                block.load(w, &format!("rows.add({o} * p.taps + tap)"));
                block.fma(w, o, 0);
            }
            w.close();
            block.store(w, level, pixels);
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
    /// Two, each with its own weights.
    Pair,
    /// The first `p.channels` lanes.
    Part,
}

impl Block {
    fn registers(self) -> std::ops::Range<usize> {
        0..if let Block::Pair = self { 2 } else { 1 }
    }

    /// What is there for each register.
    fn name(self, name: &str, register: usize) -> String {
        if let Block::Pair = self { format!("{name}_{register}") } else { name.into() }
    }

    /// The biases.
    fn begin(self, w: &mut Writer, pixels: usize) {
        for (o, q) in (0..pixels).flat_map(|o| self.registers().map(move |q| (o, q))) {
            let (y, from) = (self.name(&format!("y{o}"), q), self.name("w", q));
            w.line(format!("let mut {y} = unsafe {{ v::load({from}) }};"));
        }
    }

    /// Weight i, which lies at `at`.
    fn weight(self, w: &mut Writer, i: usize, at: &str) {
        for q in self.registers() {
            let (to, from) = (self.name(&format!("w{i}"), q), self.name("w", q));
            w.line(format!("let {to} = unsafe {{ v::load({from}.add({at})) }};"));
        }
    }

    /// A pixel.
    fn load(self, w: &mut Writer, pixel: &str) {
        for q in self.registers() {
            let (to, from) = (self.name("x", q), format!("(*{pixel}).add({})", self.name("at", q)));
            w.line(match self {
                Block::Part => format!("let {to} = unsafe {{ v::load_n({from}, p.channels) }};"),
                _ => format!("let {to} = unsafe {{ v::load({from}) }};"),
            });
        }
    }

    /// The pixel by weight i.
    fn fma(self, w: &mut Writer, o: usize, i: usize) {
        for q in self.registers() {
            let [x, weight, y] = [self.name("x", q), self.name(&format!("w{i}"), q), self.name(&format!("y{o}"), q)];
            w.line(format!("{y} = v::fma({x}, {weight}, {y});"));
        }
    }

    /// Stores the clamped outputs.
    fn store(self, w: &mut Writer, level: &Level, pixels: usize) {
        for (o, q) in (0..pixels).flat_map(|o| self.registers().map(move |q| (o, q))) {
            let value = format!("v::clamp({}, lo, hi)", self.name(&format!("y{o}"), q));
            let more = if q == 0 { String::new() } else { format!(" + {}", q * level.lanes) };
            let at = format!("out.add({o} * p.out_stride + c{more})");
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
        w.line("let at_0 = v::opaque_index(p.offset + c);");
        w.line(format!("let at_1 = v::opaque_index(p.offset + c + {lanes});"));
        w.line(format!("let w_0 = unsafe {{ p.w.add(c * ({taps} + 1)) }};"));
        w.line(format!("let w_1 = unsafe {{ w_0.add({lanes} * ({taps} + 1)) }};"));
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

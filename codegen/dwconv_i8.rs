//! Depthwise convolution of bytes, channels last: `out[x][c] = requantise(bias[c] + sum over taps of in[..][c] * w[tap][c])`.
//!
//! As in `dwconv_f32` the input is read through tables of pixel pointers; an entry outside the image points at zero
//! points. A product adds up G neighbours in each lane, and rows of one column are the neighbours that all outputs
//! share: they are interleaved once, and multiplied for each output that sees the column by the weights of its own.
//! Channels come in blocks of R registers of i32, in the order in which interleaving leaves them: lane l of register r
//! holds channel `(l / 4) * 4R + 4r + l % 4`, and narrowing four registers restores the order of the image.
//!
//! ```text
//! for each group of X output pixels of the row       the last group may overlap the one before it
//!     for each block of channels                     the last block may overlap the one before it
//!         for each two registers h of the block      so that accumulators and weights fit the registers
//!             y[X][2] = bias
//!             for each G rows of the kernel
//!                 for each input column j of the group
//!                     q[2] = interleave(G rows of the column)
//!                     y[o][i] = dot(y[o][i], q[i], w[rows][j - o * S][2h + i])   where 0 <= j - o * S < K
//!             words[o][h] = scale, round, narrow
//!         narrow, clamp, store
//! ```
//! Where units of four rows that one row of outputs sees have room for all that the next one sees, too, the two share them:
//! the weights of the second are those of the first, S rows further down. What is interleaved is then kept in memory:
//!
//! ```text
//! for each block of channels
//!     for each input column: units[column] = interleave(each G rows)
//!     for each of the two output rows, for each group: as above, q from there
//! ```
//! Packed weights of a block: biases, scales, then for each output row, each G rows and each kernel column R registers.

use super::{Family, Kernel, dwconv_f32::SHAPES, kernel_head, level::Level, list, writer::Writer};

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let mut kernels = Vec::new();
    for (k, s) in SHAPES {
        kernels.extend(level.int8.dw_pixels.iter().map(|&x| emit(w, level, k, s, x)));
    }
    Family { field: "dwconv_i8", kernels }
}

/// Facts that descriptions here have in common.
struct Block<'a> {
    level: &'a Level,
    /// Registers.
    r: usize,
    /// Rows of a product.
    g: usize,
    /// Whether fewer channels than a block are read, by kernels for any taps.
    part: bool,
}

impl Block<'_> {
    fn channels(&self) -> usize {
        self.r * self.level.lanes
    }

    /// Bytes before the weights: biases and scales.
    fn head(&self) -> usize {
        8 * self.channels()
    }

    /// Bytes of one weight of every channel, for G rows.
    fn weight(&self) -> usize {
        self.channels() * self.level.int8.unit
    }

    /// Halves of two registers.
    fn halves(&self) -> usize {
        self.r / 2
    }

    fn begin(&self, w: &mut Writer, half: usize, pixels: usize) {
        for (o, i) in (0..pixels).flat_map(|o| (0..2).map(move |i| (o, i))) {
            let at = 4 * (2 * half + i) * self.level.lanes;
            w.line(format!("let mut y{o}_{i} = unsafe {{ v::load_i32(w.add({at}).cast()) }};"));
        }
    }

    /// The row at `at`.
    fn row(&self, at: &str, flip: &str) -> String {
        match self.part {
            _ if flip.is_empty() => format!("v::load_row({at})"),
            false => format!("v::load_row_flipped({at}, {flip})"),
            true => format!("v::load_row_n({at}, p.channels, {flip})"),
        }
    }

    /// `q`: the units of `rows`, of which there may be fewer than a product takes.
    fn interleave(&self, w: &mut Writer, half: usize, rows: usize, row: impl Fn(usize) -> String) {
        let row = |i: usize| if i < rows { row(i) } else { "v::no_row()".into() };
        w.line(format!("let q = unsafe {{ v::interleave::<{half}>([{}]) }};", list(0..self.g, row)));
    }

    /// Byte `at` of the block, in the i-th register of a half.
    fn register(&self, half: usize, i: usize, at: usize) -> usize {
        at + (2 * half + i) * self.level.lanes * self.level.int8.unit
    }

    /// `q` by the weights at `at`.
    fn dots(&self, w: &mut Writer, half: usize, o: usize, at: usize) {
        for i in 0..2 {
            let at = self.register(half, i, at);
            w.line(format!("y{o}_{i} = v::dot(y{o}_{i}, q[{i}], unsafe {{ v::load_unit(weights.add({at})) }});"));
        }
    }

    /// `words`: the scaled sums of a half.
    fn end(&self, w: &mut Writer, half: usize, pixels: usize) {
        for i in 0..2 {
            let at = 4 * (self.r + 2 * half + i) * self.level.lanes;
            w.line(format!("let s{i} = unsafe {{ v::load(w.add({at}).cast()) }};"));
        }
        for o in 0..pixels {
            w.line(format!("let words{o}_{half} = v::pack(v::scale(y{o}_0, s0), v::scale(y{o}_1, s1));"));
        }
    }

    fn store(&self, w: &mut Writer, pixels: usize) {
        let narrow = |low: &str, high: &str| format!("v::narrow({low}, {high}, &output)");
        w.open(format!("if p.channels < {}", self.channels()));
        Block { part: true, ..*self }.narrow(w, pixels, narrow);
        w.close_open("else if output.is_plain()");
        self.narrow(w, pixels, |low, high| format!("v::narrow_plain({low}, {high})"));
        w.close_open("else");
        self.narrow(w, pixels, narrow);
        w.close();
    }

    fn narrow(&self, w: &mut Writer, pixels: usize, narrow: impl Fn(&str, &str) -> String) {
        let side_by_side = 2 / self.halves();
        for first in (0..pixels).step_by(side_by_side) {
            let other = (first + side_by_side - 1).min(pixels - 1);
            let bytes = narrow(&format!("words{first}_0"), &format!("words{other}_{}", self.halves() - 1));
            let bytes = if side_by_side == 2 { format!("v::halves({bytes})") } else { bytes };
            w.line(format!("let bytes = {bytes};"));
            for o in first..(first + side_by_side).min(pixels) {
                let to = format!("out.add({o} * p.out_stride)");
                let part = if self.part { ("_n", ", p.channels") } else { ("", "") };
                let half = if side_by_side == 2 {
                    format!("half{}::<{}>", part.0, o - first)
                } else {
                    format!("bytes{}", part.0)
                };
                w.line(format!("unsafe {{ v::store_{half}({to}, bytes{}) }};", part.1));
            }
        }
    }
}

/// Output rows that share units: two where units of four rows suffice for both as well as for one.
fn outputs(k: usize, s: usize, g: usize) -> usize {
    if g == 4 && (k + s).div_ceil(g) == k.div_ceil(g) { 2 } else { 1 }
}

fn emit(w: &mut Writer, level: &Level, k: usize, s: usize, pixels: usize) -> Kernel {
    let int8 = &level.int8;
    let (r, g) = (int8.dw_registers, int8.unit / int8.element);
    let block = Block { level, r, g, part: false };
    let shape = Shape { k, s, pixels, outputs: outputs(k, s, g), units: k.div_ceil(g) };
    let channels = block.channels();
    let what = format!("Depthwise {k}x{k}, stride {s}, {pixels} output pixels by {channels} channels a step");
    // Beside them the weights of a row, if there is room; else they are loaded for each use.
    let used_registers = pixels * (2 + r / 2 - 1) + 3 + int8.spare;
    let kernel = kernel_head(w, level, &format!("dwconv_i8_k{k}s{s}x{pixels}"), "DwConvI8", &what, used_registers);
    let load_weights = used_registers + 2 * k > level.registers + level.registers / 16;
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    let weights = shape.units * k * block.weight();
    let len = block.head() + shape.outputs * weights;
    let open_groups = |w: &mut Writer| {
        w.open(format!("for group in 0..p.width.div_ceil({pixels})"));
        w.line(format!("let x = (group * {pixels}).min(p.width - {pixels});"));
    };
    if shape.outputs == 1 {
        open_groups(w);
        per_block(w, &block, len, |w, block| {
            w.line(format!("let weights = unsafe {{ w.add({}) }};", block.head()));
            emit_group(w, block, &shape, load_weights);
        });
        w.close();
    } else {
        per_block(w, &block, len, |w, block| {
            emit_units(w, block, &shape);
            w.open("for row in 0..p.outputs");
            w.line(format!("let weights = unsafe {{ w.add({} + row * {weights}) }};", block.head()));
            w.line("let out = out.wrapping_add(row * p.out_row_stride);");
            open_groups(w);
            emit_group(w, block, &shape, load_weights);
            w.close();
            w.close();
        });
    }
    w.close();
    kernel
}

struct Shape {
    k: usize,
    s: usize,
    pixels: usize,
    outputs: usize,
    /// Units of a column.
    units: usize,
}

/// The units of all columns, for both output rows.
fn emit_units(w: &mut Writer, block: &Block<'_>, shape: &Shape) {
    let rows = shape.k + (shape.outputs - 1) * shape.s;
    let column = shape.units * block.weight();
    w.open(format!("for column in 0..(p.width - 1) * {} + {}", shape.s, shape.k));
    w.line(format!("let to = unsafe {{ p.units.add(column * {column}) }};"));
    for (unit, first) in (0..rows).step_by(block.g).enumerate() {
        let rows = block.g.min(rows - first);
        // Once for all halves: what is stored between them could, for all that LLVM knows, change them.
        for i in 0..rows {
            let row = block.row(&format!("(*p.rows[{}].add(column)).add(c)", first + i), "");
            w.line(format!("let r{i} = unsafe {{ {row} }};"));
        }
        let row = |i: usize| if i < rows { format!("r{i}") } else { "v::no_row()".into() };
        for half in 0..block.halves() {
            w.line(format!("let q = v::interleave::<{half}>([{}]);", list(0..block.g, row)));
            for i in 0..2 {
                let at = block.register(half, i, unit * block.weight());
                w.line(format!("unsafe {{ v::store_unit(to.add({at}), q[{i}]) }};"));
            }
        }
    }
    w.close();
}

/// A block of channels of the outputs from `x` on.
fn emit_group(w: &mut Writer, block: &Block<'_>, shape: &Shape, load_weights: bool) {
    let &Shape { k, s, pixels, outputs, units } = shape;
    let (g, shared) = (block.g, outputs > 1);
    w.line("let out = out.wrapping_add(x * p.out_stride);");
    for half in 0..block.halves() {
        if half > 0 && !shared {
            // Rows are loaded anew: kept from the first half they would be spilled.
            w.line("let c = core::hint::black_box(c);");
        }
        block.begin(w, half, pixels);
        let (full, rest) = if shared { (units, 0) } else { (k / g, k % g) };
        for (range, rows) in [(0..full, g), (full..full + usize::from(rest > 0), rest)] {
            if range.is_empty() {
                continue;
            }
            w.open(format!("for unit in {}..{}", range.start, range.end));
            w.line(format!("let weights = unsafe {{ weights.add(unit * {}) }};", k * block.weight()));
            if shared {
                let [x, unit] = [s * units * block.weight(), block.weight()];
                w.line(format!("let first = unsafe {{ p.units.add(x * {x} + unit * {unit}) }};"));
            } else {
                for i in 0..rows {
                    w.line(format!("let t{i} = unsafe {{ p.rows[unit * {g} + {i}].add(x * {s}) }};"));
                }
            }
            for j in 0..(pixels - 1) * s + k {
                let used: Vec<_> = (0..pixels).filter(|o| (o * s..o * s + k).contains(&j)).collect();
                if load_weights {
                    w.line("let weights = v::opaque(weights);");
                }
                if shared {
                    let at = |i: usize| block.register(half, i, j * units * block.weight());
                    let unit = |i: usize| format!("v::load_unit(first.add({}))", at(i));
                    w.line(format!("let q = unsafe {{ [{}] }};", list(0..2, unit)));
                } else {
                    block.interleave(w, half, rows, |i| block.row(&format!("(*t{i}.add({j})).add(c)"), ""));
                }
                for o in used {
                    block.dots(w, half, o, (j - o * s) * block.weight());
                }
            }
            w.close();
        }
        block.end(w, half, pixels);
    }
    block.store(w, pixels);
}

/// Any taps: `p.rows[0]` holds for each output pixel `taps` pixel pointers, a multiple of G.
pub fn emit_taps(w: &mut Writer, level: &Level) -> Family {
    let int8 = &level.int8;
    let (r, g) = (int8.dw_registers, int8.unit / int8.element);
    let block = Block { level, r, g, part: false };
    let channels = block.channels();
    let what = format!("Depthwise with any taps, one output pixel by {channels} channels a step");
    let kernel = kernel_head(w, level, "dwconv_i8_taps", "DwConvI8", &what, 2 * r + 1 + int8.spare);
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.line(format!("let mut held = [0i32; {channels}];"));
    w.open("for x in 0..p.width");
    w.line("let t = unsafe { p.rows[0].add(x * p.taps) };");
    let len = format!("{} + p.taps / {g} * {}", block.head(), block.weight());
    for part in [true, false] {
        if part {
            w.open(format!("if p.channels < {channels}"));
        } else {
            w.close_open("else");
        }
        per_block(w, &Block { part, ..block }, &len, |w, block| {
            w.line("let out = out.wrapping_add(x * p.out_stride);");
            for half in 0..block.halves() {
                block.begin(w, half, 1);
                w.open(format!("for rows in 0..p.taps / {g}"));
                let row = |i: usize| block.row(&format!("(*t.add(rows * {g} + {i})).add(c)"), "p.flip_in");
                block.interleave(w, half, g, row);
                w.line(format!("let weights = unsafe {{ w.add({} + rows * {}) }};", block.head(), block.weight()));
                block.dots(w, half, 0, 0);
                w.close();
                for i in 0..2 {
                    let at = (2 * half + i) * level.lanes;
                    w.line(format!("unsafe {{ v::store_i32(held.as_mut_ptr().add({at}), y0_{i}) }};"));
                }
                block.end(w, half, 1);
            }
            w.open("if p.sums.is_null()");
            block.store(w, 1);
            w.close_open("else");
            let channels = if block.part { "p.channels".to_string() } else { block.channels().to_string() };
            w.line("let sums = p.sums.wrapping_add(x * p.sums_stride + c - p.offset);");
            w.line(format!("unsafe {{ scatter::<{r}>(&held, sums, {channels}) }};"));
            w.close();
        });
    }
    w.close();
    w.close();
    w.close();
    Family { field: "dwconv_i8_taps", kernels: vec![kernel] }
}

/// `body` for every block of channels; `len` are the bytes of its packed weights.
fn per_block(w: &mut Writer, block: &Block<'_>, len: impl ToString, body: impl Fn(&mut Writer, &Block<'_>)) {
    let (len, channels) = (len.to_string(), block.channels());
    w.open(format!("for block in 0..p.channels.div_ceil({channels})"));
    w.line(format!("let first = (block * {channels}).min(p.channels.saturating_sub({channels}));"));
    w.line("let c = p.offset + first;");
    w.line(format!("let w = unsafe {{ p.w.add(block * ({len})) }};"));
    w.line("let out = p.out.wrapping_add(first);");
    body(w, block);
    w.close();
}

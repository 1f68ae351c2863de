//! Rows of bytes, of operands that lie side by side: sums of products to bytes, reals to bytes, bytes times factors, and
//! weighted sums of bytes.
//!
//! ```text
//! requantise_i8   out = round(clamp(f32(sum) * scale[c] + (residual - zero) * residual_scale)) + zero_point
//! quantise_i8     out = round(clamp(x / scale)) + zero_point
//! scale_i8        out = clamp(round(f32(x - zero) * factors[c] * scale) + zero_point)
//! add_i8          out = clamp(((a * a_multiplier + b * b_multiplier + bias) >> shift) + zero_point)
//! widen_i8        out = i16(a)
//! ```
//! The first is for what a product's own epilogue does not do; its clamp, and that of the second, is that of the output
//! less its zero point. In the third a factor is the difference of two bytes, so that its product with another is exact in f32. The fourth is
//! exact in i32; `bias` holds the half that is added for rounding and what the zero points take away.
//!
//! Four registers at a time, then one, of which the last may overlap the one before it; fewer values than a register are
//! read and written as many as there are.

use super::{Family, kernel_head, level::Level, writer::Writer};

/// `lo` and `hi`: the bounds of the output less its zero point.
fn bounds(w: &mut Writer) {
    w.line("let bound = |byte: u8| (i32::from(byte) - i32::from(p.zero_point)) as f32;");
    w.line("let (lo, hi) = (v::splat(bound(p.min)), v::splat(bound(p.max)));");
}

pub fn emit_quantise(w: &mut Writer, level: &Level) -> Family {
    let kernel = kernel_head(w, level, "quantise_i8", "QuantiseI8", "Reals to bytes", 11);
    bounds(w);
    w.line("let scale = v::splat(p.scale);");
    rows(w, level.lanes, &["x"], |w, step| {
        for r in 0..step.registers {
            w.line(format!("let x{r} = v::or_zero(v::div({}, scale));", step.load("load", "x", r)));
            w.line(format!("let y{r} = v::round(v::clamp(x{r}, lo, hi));"));
        }
    });
    Family { field: "quantise_i8", kernels: vec![kernel] }
}

pub fn emit_requantise(w: &mut Writer, level: &Level) -> Family {
    let kernel = kernel_head(w, level, "requantise_i8", "RequantiseI8", "Sums to bytes, with a residual", 12);
    bounds(w);
    w.line("let (zero, scale) = (v::splat_i32(p.residual_zero), v::splat(p.residual_scale));");
    rows(w, level.lanes, &["sums", "residual"], |w, step| {
        for r in 0..step.registers {
            w.line(format!("let sum = v::to_f32({});", step.load("load_i32", "sums", r)));
            w.line(format!("let mut y{r} = v::mul(sum, {});", step.load("load", "p.scales", r)));
        }
        w.open("if !p.residual.is_null()");
        for r in 0..step.registers {
            w.line(format!("let more = v::to_f32(v::sub_i32({}, zero));", step.widen("residual", r)));
            w.line(format!("y{r} = v::add(y{r}, v::mul(more, scale));"));
        }
        w.close();
        for r in 0..step.registers {
            w.line(format!("let y{r} = v::round(v::clamp(y{r}, lo, hi));"));
        }
    });
    Family { field: "requantise_i8", kernels: vec![kernel] }
}

pub fn emit_scale(w: &mut Writer, level: &Level) -> Family {
    let kernel = kernel_head(w, level, "scale_i8", "ScaleI8", "Bytes times the factors of their channels", 11);
    w.line("let (zero, scale) = (v::splat_i32(p.zero), v::splat(p.scale));");
    rows(w, level.lanes, &["x"], |w, step| {
        for r in 0..step.registers {
            w.line(format!("let x{r} = v::to_f32(v::sub_i32({}, zero));", step.widen("x", r)));
            w.line(format!("let product = v::mul(x{r}, {});", step.load("load", "p.factors", r)));
            w.line(format!("let y{r} = v::round(v::mul(product, scale));"));
        }
    });
    Family { field: "scale_i8", kernels: vec![kernel] }
}

pub fn emit_add(w: &mut Writer, level: &Level) -> Family {
    let kernel = kernel_head(w, level, "add_i8", "AddI8", "Weighted sums of bytes", 13);
    w.line("let (a_multiplier, b_multiplier) = (v::splat_i32(p.a_multiplier), v::splat_i32(p.b_multiplier));");
    w.line("let bias = v::splat_i32(p.bias);");
    rows(w, level.lanes, &["a", "b"], |w, step| {
        for r in 0..step.registers {
            let product = |p: &str| format!("v::mul_byte({}, {p}_multiplier)", step.widen(p, r));
            w.line(format!("let y{r} = v::add_i32(bias, {});", product("a")));
            w.line(format!("let y{r} = v::shift_right(v::add_i32(y{r}, {}), p.shift);", product("b")));
        }
    });
    Family { field: "add_i8", kernels: vec![kernel] }
}

/// Bytes to i16, for products of pairs. The last step may overlap the one before it.
pub fn emit_widen(w: &mut Writer, level: &Level) -> Family {
    let step = level.int8.dw_registers * level.lanes;
    let kernel = kernel_head(w, level, "widen_i8", "WidenI8", "Bytes to i16", 3);
    w.line("let mut i = 0;");
    w.open(format!("while i < p.len && p.len >= {step}"));
    w.line(format!("i = i.min(p.len - {step});"));
    w.line("unsafe { v::store_row(p.out.add(i), v::load_row_flipped(p.input.add(i), p.flip)) };");
    w.line(format!("i += {step};"));
    w.close();
    w.open("if i < p.len");
    w.line(format!("let mut last = [0i16; {step}];"));
    w.line("unsafe { v::store_row(last.as_mut_ptr(), v::load_row_n(p.input, p.len, p.flip)) };");
    w.line("unsafe { p.out.copy_from_nonoverlapping(last.as_ptr(), p.len) };");
    w.close();
    w.close();
    Family { field: "widen_i8", kernels: vec![kernel] }
}

/// How many values are computed at a time.
struct Step {
    lanes: usize,
    registers: usize,
    /// Less than a register: `p.len` values.
    part: bool,
}

impl Step {
    /// Register r of what begins at `at`.
    fn load(&self, word: &str, at: &str, r: usize) -> String {
        let (suffix, n) = if self.part { ("_n", ", p.len") } else { ("", "") };
        format!("unsafe {{ v::{word}{suffix}({at}.add(i + {}){n}) }}", r * self.lanes)
    }

    /// Register r of bytes.
    fn widen(&self, at: &str, r: usize) -> String {
        let (suffix, n) = if self.part { ("_n", ", p.len") } else { ("", "") };
        format!("unsafe {{ v::widen{suffix}({at}.add(i + {}), p.flip{n}) }}", r * self.lanes)
    }

    /// `bytes` of the registers y.
    fn narrow(&self, w: &mut Writer) {
        let pack = |r: usize| {
            let y = |r: usize| r.min(self.registers - 1);
            format!("v::pack(y{}, y{})", y(r), y(r + 1))
        };
        w.line(format!("let bytes = v::quarters(v::narrow({}, {}, &output));", pack(0), pack(2)));
    }
}

/// The loops, and the end of the kernel: `compute` makes registers y of the `operands`.
fn rows(w: &mut Writer, lanes: usize, operands: &[&str], compute: impl Fn(&mut Writer, &Step)) {
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.open("for row in 0..p.rows");
    for operand in operands {
        w.line(format!("let {operand} = p.{operand}.wrapping_add(row * p.{operand}_stride);"));
    }
    w.line("let out = unsafe { p.out.add(row * p.out_stride) };");
    w.line("let mut i = 0;");
    let step = |w: &mut Writer, registers: usize, part: bool, store: &str| {
        let step = Step { lanes, registers, part };
        compute(w, &step);
        step.narrow(w);
        w.line(format!("unsafe {{ v::{store} }};"));
    };
    w.open(format!("while i + {} <= p.len", 4 * lanes));
    step(w, 4, false, "store_bytes(out.add(i), bytes)");
    w.line(format!("i += {};", 4 * lanes));
    w.close();
    w.open(format!("while i < p.len && p.len >= {lanes}"));
    w.line(format!("i = i.min(p.len - {lanes});"));
    step(w, 1, false, "store_quarter::<0>(out.add(i), bytes)");
    w.line(format!("i += {lanes};"));
    w.close();
    w.open("if i < p.len");
    step(w, 1, true, "store_quarter_n::<0>(out, bytes, p.len)");
    w.close();
    w.close();
    w.close();
}

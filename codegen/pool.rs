//! Pooling over a window that lies inside the image, channels last.
//!
//! Average: `out[c] = (0 + in[0][c] + in[1][c] + ..) / divisor`, pixel by pixel, row by row. Maximum: a later value
//! replaces the one held where it is greater or NaN. Several registers of channels at a time, so that their chains
//! overlap.

use super::{Family, Kernel, kernel_head, level::Level, writer::Writer};

const REGISTERS: usize = 4;

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let average = emit(w, level, "avgpool_f32", "Average of a window", "v::splat(0.0)", "add", "v::div({}, divisor)");
    let maximum = emit(w, level, "maxpool_f32", "Maximum of a window", "v::splat(f32::NEG_INFINITY)", "max", "{}");
    Family { field: "pool_f32", kernels: vec![average, maximum] }
}

fn emit(w: &mut Writer, level: &Level, family: &str, what: &str, first: &str, op: &str, last: &str) -> Kernel {
    let lanes = level.lanes;
    let block = REGISTERS * lanes;
    let kernel = kernel_head(w, level, family, "PoolF32", what, REGISTERS + 2);
    if last.contains("divisor") {
        w.line("let divisor = v::splat(p.divisor);");
    }
    w.line("let mut c = 0;");
    w.open(format!("while c + {block} <= p.channels"));
    window(w, REGISTERS, first, op, |r| format!("v::load(at.add(c + {}))", r * lanes));
    for r in 0..REGISTERS {
        let value = last.replace("{}", &format!("y{r}"));
        w.line(format!("unsafe {{ v::store(p.out.add(c + {}), {value}) }};", r * lanes));
    }
    w.line(format!("c += {block};"));
    w.close();
    w.open("while c < p.channels");
    w.line(format!("let n = (p.channels - c).min({lanes});"));
    window(w, 1, first, op, |_| "v::load_n(at.add(c), n)".to_string());
    w.line(format!("unsafe {{ v::store_n(p.out.add(c), {}, n) }};", last.replace("{}", "y0")));
    w.line("c += n;");
    w.close();
    w.close();
    kernel
}

fn window(w: &mut Writer, registers: usize, first: &str, op: &str, load: impl Fn(usize) -> String) {
    for r in 0..registers {
        w.line(format!("let mut y{r} = {first};"));
    }
    w.open("for row in 0..p.rows");
    w.open("for col in 0..p.cols");
    w.line("let at = unsafe { p.input.add(row * p.row_stride + col * p.col_stride) };");
    for r in 0..registers {
        w.line(format!("y{r} = v::{op}(y{r}, unsafe {{ {} }});", load(r)));
    }
    w.close();
    w.close();
}

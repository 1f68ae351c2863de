//! Sums to bytes, where more is to be done than a product's own epilogue does:
//! `out = round(clamp(f32(sum) * scale[c] + (residual - zero) * residual_scale)) + zero_point`, the clamp being that of
//! the output less its zero point.

use super::{Family, kernel_head, level::Level, writer::Writer};

pub fn emit(w: &mut Writer, level: &Level) -> Family {
    let lanes = level.lanes;
    let kernel = kernel_head(w, level, "requantise_i8", "RequantiseI8", "Sums to bytes, with a residual", 12);
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.line("let (lo, hi) = (v::splat(p.low), v::splat(p.high));");
    w.line("let (zero, scale) = (v::splat_i32(p.residual_zero), v::splat(p.residual_scale));");
    w.open("for row in 0..p.rows");
    w.line("let sums = unsafe { p.sums.add(row * p.sums_stride) };");
    w.line("let out = unsafe { p.out.add(row * p.out_stride) };");
    w.line("let residual = p.residual.wrapping_add(row * p.residual_stride);");
    w.line("let mut i = 0;");
    w.open(format!("while i + {} <= p.len", 4 * lanes));
    step(w, lanes, 4, None);
    w.line("let bytes = v::quarters(bytes);");
    w.line("unsafe { v::store_bytes(out.add(i), bytes) };");
    w.line(format!("i += {};", 4 * lanes));
    w.close();
    w.open(format!("while i < p.len && p.len >= {lanes}"));
    w.line(format!("i = i.min(p.len - {lanes});"));
    step(w, lanes, 1, None);
    w.line("unsafe { v::store_quarter::<0>(out.add(i), v::quarters(bytes)) };");
    w.line(format!("i += {lanes};"));
    w.close();
    w.open("if i < p.len");
    step(w, lanes, 1, Some("p.len"));
    w.line("unsafe { v::store_quarter_n::<0>(out, v::quarters(bytes), p.len) };");
    w.close();
    w.close();
    w.close();
    Family { field: "requantise_i8", kernels: vec![kernel] }
}

fn step(w: &mut Writer, lanes: usize, registers: usize, n: Option<&str>) {
    let (suffix, n) = (if n.is_some() { "_n" } else { "" }, n.map(|n| format!(", {n}")).unwrap_or_default());
    for r in 0..registers {
        let at = r * lanes;
        w.line(format!("let sum = v::to_f32(unsafe {{ v::load_i32{suffix}(sums.add(i + {at}){n}) }});"));
        w.line(format!("let mut y{r} = v::mul(sum, unsafe {{ v::load{suffix}(p.scales.add(i + {at}){n}) }});"));
    }
    w.open("if !p.residual.is_null()");
    for r in 0..registers {
        let bytes = format!("v::widen{suffix}(residual.add(i + {}), p.flip{n})", r * lanes);
        w.line(format!("let more = v::to_f32(v::sub_i32(unsafe {{ {bytes} }}, zero));"));
        w.line(format!("y{r} = v::add(y{r}, v::mul(more, scale));"));
    }
    w.close();
    let value = |r: usize| format!("v::round(v::clamp(y{}, lo, hi))", r.min(registers - 1));
    let pack = |r: usize| format!("v::pack({}, {})", value(r), value(r + 1));
    w.line(format!("let bytes = v::narrow({}, {}, &output);", pack(0), pack(2)));
}

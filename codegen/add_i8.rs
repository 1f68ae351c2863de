//! `out = clamp(((a * a_multiplier + b * b_multiplier + bias) >> shift) + zero_point)` over rows of bytes, in i32: exact,
//! hence the same on every level. `bias` holds the half that is added for rounding and what the zero points take away.

use super::{Family, kernel_head, level::Level, writer::Writer};

pub fn emit(w: &mut Writer, level: &Level) -> Family {
    let lanes = level.lanes;
    let kernel = kernel_head(w, level, "add_i8", "AddI8", "Weighted sums of bytes", 13);
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.line("let (a_multiplier, b_multiplier) = (v::splat_i32(p.a_multiplier), v::splat_i32(p.b_multiplier));");
    w.line("let bias = v::splat_i32(p.bias);");
    w.open("for row in 0..p.rows");
    w.line("let a = unsafe { p.a.add(row * p.a_stride) };");
    w.line("let b = unsafe { p.b.add(row * p.b_stride) };");
    w.line("let out = unsafe { p.out.add(row * p.out_stride) };");
    w.line("let mut i = 0;");
    w.open(format!("while i + {} <= p.len", 4 * lanes));
    step(w, lanes, 4, None);
    w.line("unsafe { v::store_bytes(out.add(i), bytes) };");
    w.line(format!("i += {};", 4 * lanes));
    w.close();
    w.open(format!("while i < p.len && p.len >= {lanes}"));
    w.line(format!("i = i.min(p.len - {lanes});"));
    step(w, lanes, 1, None);
    w.line("unsafe { v::store_quarter::<0>(out.add(i), bytes) };");
    w.line(format!("i += {lanes};"));
    w.close();
    w.open("if i < p.len");
    step(w, lanes, 1, Some("p.len"));
    w.line("unsafe { v::store_quarter_n::<0>(out, bytes, p.len) };");
    w.close();
    w.close();
    w.close();
    Family { field: "add_i8", kernels: vec![kernel] }
}

fn step(w: &mut Writer, lanes: usize, registers: usize, n: Option<&str>) {
    let (suffix, n) = (if n.is_some() { "_n" } else { "" }, n.map(|n| format!(", {n}")).unwrap_or_default());
    for r in 0..registers {
        let product = |p: &str| {
            let bytes = format!("unsafe {{ v::widen{suffix}({p}.add(i + {}), p.flip{n}) }}", r * lanes);
            format!("v::mul_byte({bytes}, {p}_multiplier)")
        };
        w.line(format!("let y{r} = v::add_i32(bias, {});", product("a")));
        w.line(format!("let y{r} = v::shift_right(v::add_i32(y{r}, {}), p.shift);", product("b")));
    }
    let value = |r: usize| format!("y{}", r.min(registers - 1));
    let pack = |r: usize| format!("v::pack({}, {})", value(r), value(r + 1));
    w.line(format!("let bytes = v::quarters(v::narrow({}, {}, &output));", pack(0), pack(2)));
}

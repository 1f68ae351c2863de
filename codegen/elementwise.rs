//! `out = act(a + b)`, `out = act(a)` and `out = act(a * b)` over rows of values; `out` may be `a`.
//!
//! The activation is a clamp; or hard-swish, `x * (clamp(x + 3, 0, 6) * (1 / 6))`; or the sigmoid, as
//! `reference::sigmoid` computes it. Each step is rounded, so that it is the same on every level.

use super::{Family, Kernel, kernel_head, level::Level, target_features, writer::Writer};

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    emit_sigmoid(w, level);
    let add = emit(w, level, "add_f32", "`act(a + b)`", Some("add"));
    let act = emit(w, level, "act_f32", "`act(a)`", None);
    let mul = emit(w, level, "mul_f32", "`act(a * b)`", Some("mul"));
    Family { field: "elementwise_f32", kernels: vec![add, act, mul] }
}

fn emit(w: &mut Writer, level: &Level, family: &str, what: &str, op: Option<&str>) -> Kernel {
    // Constants of the sigmoid beyond the registers are operands in memory.
    let kernel = kernel_head(w, level, family, "ElementwiseF32", what, level.registers.min(18));
    w.open("match p.function");
    w.open("Function::Clamp =>");
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    rows(w, level, op, "v::clamp(x, lo, hi)");
    w.close();
    w.open("Function::HardSwish =>");
    w.line("let (three, zero, six) = (v::splat(3.0), v::splat(0.0), v::splat(6.0));");
    w.line("let sixth = v::splat(1.0 / 6.0);");
    rows(w, level, op, "v::mul(x, v::mul(v::clamp(v::add(x, three), zero, six), sixth))");
    w.close();
    w.open("Function::Sigmoid =>");
    rows(w, level, op, "sigmoid(x)");
    w.close();
    w.close();
    w.close();
    kernel
}

fn rows(w: &mut Writer, level: &Level, op: Option<&str>, act: &str) {
    w.open("for row in 0..p.rows");
    w.line("let a = unsafe { p.a.add(row * p.a_stride) };");
    if op.is_some() {
        w.line("let b = unsafe { p.b.add(row * p.b_stride) };");
    }
    w.line("let out = unsafe { p.out.add(row * p.out_stride) };");
    w.line("let mut i = 0;");
    let step = |w: &mut Writer, load: &dyn Fn(&str) -> String, store: &str| {
        w.line(format!("let x = unsafe {{ {} }};", load("a")));
        if let Some(op) = op {
            w.line(format!("let x = v::{op}(x, unsafe {{ {} }});", load("b")));
        }
        w.line(format!("unsafe {{ {store} }};"));
    };
    w.open(format!("while i + {} <= p.len", level.lanes));
    step(w, &|p| format!("v::load({p}.add(i))"), &format!("v::store(out.add(i), {act})"));
    w.line(format!("i += {};", level.lanes));
    w.close();
    w.open("if i < p.len");
    step(w, &|p| format!("v::load_n({p}.add(i), p.len - i)"), &format!("v::store_n(out.add(i), {act}, p.len - i)"));
    w.close();
    w.close();
}

/// The polynomial of `reference::sigmoid`, from its highest coefficient on.
const EXP: [&str; 7] = ["0.00139262504", "0.00836323295", "0.0416665524", "0.166665763", "0.5", "1.0", "1.0"];

fn emit_sigmoid(w: &mut Writer, level: &Level) {
    w.line("");
    w.line("/// `e / (1 + e)` of `e = exp(x)`, step by step as `reference::sigmoid`.");
    w.line("#[inline]");
    target_features(w, level);
    w.open("fn sigmoid(x: v::F32) -> v::F32");
    w.line("let x = v::clamp(x, v::splat(-88.0), v::splat(18.0));");
    w.line("let whole = v::fma(x, v::splat(core::f32::consts::LOG2_E), v::splat(12_583_039.0));");
    w.line("let n = v::add(whole, v::splat(-12_583_039.0));");
    w.line("let r = v::fma(n, v::splat(-355.0 / 512.0), x);");
    w.line("let r = v::fma(n, v::splat(2.12194440e-4), r);");
    w.line(format!("let p = v::splat({});", EXP[0]));
    for coefficient in &EXP[1..] {
        w.line(format!("let p = v::fma(p, r, v::splat({coefficient}));"));
    }
    w.line("let e = v::mul(p, v::power(whole));");
    w.line("v::div(e, v::add(e, v::splat(1.0)))");
    w.close();
}

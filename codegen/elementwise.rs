//! `out = act(a + b)` and `out = act(a)` over rows of values; `out` may be `a`.
//!
//! The activation is a clamp, or hard-swish: `x * (clamp(x + 3, 0, 6) * (1 / 6))`, each step rounded, so that it is the
//! same on every level.

use super::{Family, Kernel, kernel_head, level::Level, writer::Writer};

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let kernels = vec![emit(w, level, "add_f32", true), emit(w, level, "act_f32", false)];
    Family { field: "elementwise_f32", kernels }
}

fn emit(w: &mut Writer, level: &Level, family: &str, two: bool) -> Kernel {
    let what = if two { "`act(a + b)`" } else { "`act(a)`" };
    let kernel = kernel_head(w, level, family, "ElementwiseF32", what, 7);
    w.open("if p.hard_swish");
    w.line("let (three, zero, six) = (v::splat(3.0), v::splat(0.0), v::splat(6.0));");
    w.line("let sixth = v::splat(1.0 / 6.0);");
    rows(w, level, two, "v::mul(x, v::mul(v::clamp(v::add(x, three), zero, six), sixth))");
    w.close_open("else");
    w.line("let (lo, hi) = (v::splat(p.min), v::splat(p.max));");
    rows(w, level, two, "v::clamp(x, lo, hi)");
    w.close();
    w.close();
    kernel
}

fn rows(w: &mut Writer, level: &Level, two: bool, act: &str) {
    w.open("for row in 0..p.rows");
    w.line("let a = unsafe { p.a.add(row * p.a_stride) };");
    if two {
        w.line("let b = unsafe { p.b.add(row * p.b_stride) };");
    }
    w.line("let out = unsafe { p.out.add(row * p.out_stride) };");
    w.line("let mut i = 0;");
    let step = |w: &mut Writer, load: &dyn Fn(&str) -> String, store: &str| {
        w.line(format!("let x = unsafe {{ {} }};", load("a")));
        if two {
            w.line(format!("let x = v::add(x, unsafe {{ {} }});", load("b")));
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

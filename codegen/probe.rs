//! What the machine can do, for benches to measure kernels against: multiply-adds in registers only, and reading.

use super::{Family, kernel_head, level::Level, writer::Writer};

/// `p.turns` times `FMA_CHAINS` multiply-adds on independent registers.
pub fn emit_fma(w: &mut Writer, level: &Level) -> Family {
    let chains = level.registers - 4;
    let kernel = kernel_head(w, level, "probe_fma_f32", "Probe", &format!("{chains} chains of `fma`"), chains + 2);
    w.line("let (x, y) = unsafe { (v::load(p.data), v::load(p.data)) };");
    for i in 0..chains {
        w.line(format!("let mut c{i} = v::splat({i}.0);"));
    }
    w.open("for _ in 0..p.turns");
    for i in 0..chains {
        w.line(format!("c{i} = v::fma(x, y, c{i});"));
    }
    w.close();
    for i in 1..chains {
        w.line(format!("c0 = v::add(c0, c{i});"));
    }
    w.line("unsafe { v::store(p.out, c0) };");
    w.close();
    Family { field: "probe_fma_f32", kernels: vec![kernel] }
}

/// Reads `p.len` values `p.turns` times.
pub fn emit_read(w: &mut Writer, level: &Level) -> Family {
    let streams = 8;
    let kernel = kernel_head(w, level, "probe_read_f32", "Probe", "Sums what it reads", streams + 1);
    for i in 0..streams {
        w.line(format!("let mut c{i} = v::splat(0.0);"));
    }
    w.open("for _ in 0..p.turns");
    w.line("let mut i = 0;");
    w.open(format!("while i + {} <= p.len", streams * level.lanes));
    for i in 0..streams {
        w.line(format!("c{i} = v::add(c{i}, unsafe {{ v::load(p.data.add(i + {})) }});", i * level.lanes));
    }
    w.line(format!("i += {};", streams * level.lanes));
    w.close();
    w.close();
    for i in 1..streams {
        w.line(format!("c0 = v::add(c0, c{i});"));
    }
    w.line("unsafe { v::store(p.out, c0) };");
    w.close();
    Family { field: "probe_read_f32", kernels: vec![kernel] }
}

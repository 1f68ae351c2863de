//! What the machine can do, for benches to measure kernels against: multiply-adds in registers only, and reading.

use super::{
    Family,
    gemm_i8_amx::{K, TILE},
    kernel_head,
    level::Level,
    writer::Writer,
};

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

/// `p.turns` times as many products of bytes on independent registers, each of its own pair of operands: of two equal
/// products the compiler would do one.
pub fn emit_dot(w: &mut Writer, level: &Level) -> Family {
    let (xs, ys) = dot_operands(level);
    let what = format!("{} chains of `dot`", xs * ys);
    let kernel = kernel_head(w, level, "probe_dot_i8", "Probe", &what, xs * ys + xs + 1 + level.int8.spare);
    for i in 0..xs {
        w.line(format!("let x{i} = unsafe {{ v::load_unit(p.data.add({i}).cast()) }};"));
    }
    for i in 0..xs * ys {
        w.line(format!("let mut c{i} = v::splat_i32({i});"));
    }
    w.open("for _ in 0..p.turns");
    w.line("let data = core::hint::black_box(p.data); // or what is the same each turn would be done once");
    for j in 0..ys {
        w.line(format!("let y = unsafe {{ v::load_unit(data.add({j}).cast()) }};"));
        for i in 0..xs {
            w.line(format!("c{0} = v::dot(c{0}, x{i}, y);", j * xs + i));
        }
    }
    w.close();
    for i in 1..xs * ys {
        w.line(format!("c0 = v::sub_i32(c0, c{i});"));
    }
    w.line("unsafe { v::store_i32(p.out.cast(), c0) };");
    w.close();
    Family { field: "probe_dot_i8", kernels: vec![kernel] }
}

/// Operands: those that are held, and those that are loaded.
fn dot_operands(level: &Level) -> (usize, usize) {
    if level.registers == 32 { (4, 6) } else { (2, 6) }
}

/// `p.turns` times the products of two tiles and two on four sums. All rows of a tile are the same: they are zero bytes
/// apart. What is stored is a row of the last sum.
pub fn emit_tiles(w: &mut Writer, level: &Level) -> Family {
    let kernel = kernel_head(w, level, "probe_dot_i8", "Probe", "Products of tiles on four sums", 1);
    w.line(format!("unsafe {{ v::begin(&v::Config::new({TILE}, {K})) }};"));
    let asm = |w: &mut Writer, insn: &str, with: &str| {
        w.line(format!("unsafe {{ core::arch::asm!(\"{insn}\", {with}options(nostack)) }};"));
    };
    for i in 0..4 {
        let with = format!("in(reg) p.data.add({i}), in(reg) 0usize, ");
        asm(w, &format!("tileloadd tmm{}, [{{}} + {{}}]", 4 + i), &with);
    }
    w.open("for _ in 0..p.turns");
    let products = (0..4).map(|i| format!("\"tdpbusd tmm{i}, tmm{}, tmm{}\"", 4 + i / 2, 6 + i % 2));
    let products = products.collect::<Vec<_>>().join(", ");
    w.line(format!("unsafe {{ core::arch::asm!({products}, options(nostack, nomem)) }};"));
    w.close();
    asm(w, "tilestored [{} + {}], tmm3", "in(reg) p.out, in(reg) 0usize, ");
    w.line("unsafe { v::end() };");
    w.close();
    Family { field: "probe_dot_i8", kernels: vec![kernel] }
}

/// Operations of one turn of `probe_dot_i8`: two for each product of values.
pub fn dot_ops(level: &Level) -> usize {
    let int8 = &level.int8;
    if level.tiles {
        return 4 * 2 * TILE * TILE * K;
    }
    let (xs, ys) = dot_operands(level);
    2 * level.lanes * int8.unit / int8.element * xs * ys
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

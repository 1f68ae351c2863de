//! `out = table[x]` over rows of bytes; `out` may be `x`.

use super::{Family, kernel_head, level::Level, writer::Writer};

pub fn emit(w: &mut Writer, level: &Level) -> Family {
    let bytes = 4 * level.lanes;
    // Tables beyond the registers are operands in memory.
    let kernel = kernel_head(w, level, "lookup_i8", "LookupI8", "Bytes of a table", level.registers.min(20));
    w.line("let table = unsafe { v::load_table(p.table) };");
    w.open("for row in 0..p.rows");
    w.line("let x = unsafe { p.x.add(row * p.x_stride) };");
    w.line("let out = unsafe { p.out.add(row * p.out_stride) };");
    w.line("let mut i = 0;");
    w.open(format!("while i + {bytes} <= p.len"));
    w.line("unsafe { v::store_bytes(out.add(i), v::lookup(&table, v::load_bytes(x.add(i)))) };");
    w.line(format!("i += {bytes};"));
    w.close();
    w.open("if i < p.len");
    w.line("let n = p.len - i;");
    w.line("unsafe { v::store_bytes_n(out.add(i), v::lookup(&table, v::load_bytes_n(x.add(i), n)), n) };");
    w.close();
    w.close();
    w.close();
    Family { field: "lookup_i8", kernels: vec![kernel] }
}

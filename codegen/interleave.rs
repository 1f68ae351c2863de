//! `y[j * G + i] = x[i * each + j]` in each of many pixels, `G` fixed: a shuffle of channels.
//!
//! A row of 16 bytes of each group at a time, on every level: wider ones are hardly faster, since memory bounds it, and
//! groups are often narrow. What is narrower than a row is taken in as large a part of it as there is. The last rows of the
//! groups end with them and overlap those before.

use super::{Family, Kernel, kernel_head, level::Level, list, transpose::emit_zip, writer::Writer};

/// Numbers of groups, those of the ShuffleNets.
pub const GROUPS: [usize; 4] = [2, 3, 4, 8];

pub fn emit_x32(w: &mut Writer, level: &Level) -> Family {
    emit_all(w, level, "interleave_x32", "InterleaveX32", 4)
}

pub fn emit_x8(w: &mut Writer, level: &Level) -> Family {
    emit_all(w, level, "interleave_x8", "InterleaveX8", 1)
}

fn emit_all(w: &mut Writer, level: &Level, family: &'static str, args: &str, size: usize) -> Family {
    let kernels = GROUPS.iter().map(|&groups| emit(w, level, (family, args, size), groups)).collect();
    Family { field: family, kernels }
}

fn emit(w: &mut Writer, level: &Level, (family, args, size): (&str, &str, usize), groups: usize) -> Kernel {
    let zip = emit_zip(w, level, size, groups);
    let what = format!("Interleaving of {groups} groups of elements of {size} bytes");
    // Rows before and after; for three also the constants of permutations.
    let registers = if groups == 3 { 11 } else { 2 * groups };
    let kernel = kernel_head(w, level, &format!("{family}_g{groups}"), args, &what, registers);
    w.line(format!("let each = {size} * p.each;"));
    w.open("match each");
    for width in [16, 8, 4, 2, 1].into_iter().filter(|&width| width >= size) {
        w.open(if width == size { "_ =>".into() } else { format!("{width}.. =>") });
        w.open("for pixel in 0..p.pixels");
        w.line("let x = unsafe { p.x.add(pixel * p.x_stride) }.cast::<u8>();");
        w.line("let y = unsafe { p.y.add(pixel * p.y_stride) }.cast::<u8>();");
        w.line("let mut at = 0;");
        w.open("loop");
        w.line(format!("let (x, y) = unsafe {{ (x.add(at), y.add({groups} * at)) }};"));
        let loads = list(0..groups, |i| match width {
            16 => format!("v::load_row16(x.add({i} * each))"),
            _ => format!("v::load_row16_n(x.add({i} * each), {width})"),
        });
        w.line(format!("let t = {zip}(unsafe {{ [{loads}] }});"));
        for i in 0..(groups * width).div_ceil(16) {
            let store = match groups * width - 16 * i {
                16.. => format!("v::store_row16(y.add({}), t[{i}])", 16 * i),
                rest => format!("v::store_row16_n(y.add({}), t[{i}], {rest})", 16 * i),
            };
            w.line(format!("unsafe {{ {store} }};"));
        }
        w.open(format!("if at == each - {width}"));
        w.line("break;");
        w.close();
        w.line(format!("at = (at + {width}).min(each - {width});"));
        w.close();
        w.close();
        w.close();
    }
    w.close();
    w.close();
    kernel
}

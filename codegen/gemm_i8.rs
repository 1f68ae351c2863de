//! `C[m x n] = requantise(bias + A[m x k] * B[k x n])`, bytes in, bytes out, sums exact in i32.
//!
//! A is a plain matrix of rows `a_stride` bytes apart, in the form that the level multiplies (see `Int8`): signed or not,
//! bytes or pairs of bytes; k is padded to whole units. B is packed in panels of NR columns: their biases, their scales,
//! then for each unit of k one register for each lane count of columns. What the zero point of A contributes was added to
//! the bias when B was packed.
//!
//! ```text
//! for each panel of B                        kept in L1 while the rows pass
//!     for each tile of MR rows
//!         c[MR][NR] = bias row
//!         for each unit of k
//!             c[i][j] = dot(a[i][k], b[k][j], c[i][j])
//!         four registers of c at a time: scale, round, narrow, clamp, store
//! ```
//! Where a product is one of small matrices, a register of A holds a pair of rows, one of B half as many columns, and one
//! of c both rows of those; they part when they are stored.

use super::{
    Family, Kernel, kernel_head,
    level::{Int8, Level},
    offset, opaque_row, prefetch, prefetch_panel, prefetch_tile,
    writer::Writer,
};

pub fn emit_all(w: &mut Writer, level: &Level) -> Family {
    let mut kernels = Vec::new();
    for (cols, &max) in (1..).zip(level.int8.gemm) {
        kernels.extend((1..=max).map(|mr| emit(w, level, mr, cols)));
    }
    Family { field: "gemm_i8", kernels }
}

fn emit(w: &mut Writer, level: &Level, mr: usize, cols: usize) -> Kernel {
    let (lanes, int8) = (level.lanes, &level.int8);
    let nr = cols * lanes;
    // Registers of a product: its rows of A, its columns of B.
    let (rows, width) = (mr.div_ceil(int8.rows), cols * int8.rows);
    let held = if int8.a_step == 1 && int8.rows == 1 { width } else { rows };
    let used = rows * width + held + 1 + int8.spare;

    let what = format!("`gemm_i8` in tiles of {mr}x{nr}");
    let kernel = kernel_head(w, level, &format!("gemm_i8_{mr}x{nr}"), "GemmI8", &what, used);
    w.line("let output = v::output(p.zero_point, p.min, p.max, p.flip);");
    w.open("for panel in 0..p.panels");
    w.line("let (mut a, mut c) = (p.a, p.c.wrapping_add(panel * p.panel_columns));");
    w.line("let mut sums = p.sums.wrapping_add(panel * p.panel_columns);");
    w.line("let head = unsafe { p.b.add(panel * p.panel_len) };");
    prefetch_panel(w, level, int8.unit * nr);
    w.open("for _ in 0..p.tiles");
    prefetch_tile(w, level);
    w.line(format!("let mut b = unsafe {{ head.add({}) }};", 8 * nr));
    for j in 0..cols {
        let bias = format!("unsafe {{ v::load_i32(head.add({}).cast()) }}", 4 * j * lanes);
        if int8.rows == 1 {
            w.line(format!("let mut c0_{j} = {bias};"));
        } else {
            w.line(format!("let [mut c0_{}, mut c0_{}] = v::twice({bias});", 2 * j, 2 * j + 1));
        }
    }
    for i in 1..rows {
        for j in 0..width {
            w.line(format!("let mut c{i}_{j} = c0_{j};"));
        }
    }
    for i in 0..mr {
        let row = format!("unsafe {{ a.add({i} * p.a_stride) }}");
        w.line(format!("let a{i} = {};", opaque_row(int8.a_step > 1 || int8.rows > 1 || level.unroll > 1, row)));
    }
    w.line("let mut k = 0;");
    let turn = int8.a_step * level.unroll;
    k_loop(w, level, mr, rows, width, turn);
    if turn > 1 {
        k_loop(w, level, mr, rows, width, 1);
    }
    if int8.rows == 2 {
        for i in 0..rows {
            for j in 0..cols {
                let (low, high) = (2 * i, 2 * i + 1);
                w.line(format!("let [r{low}_{j}, r{high}_{j}] = v::part(c{i}_{}, c{i}_{});", 2 * j, 2 * j + 1));
            }
        }
    }
    store(w, level, mr, cols, if int8.rows == 2 { "r" } else { "c" });
    w.line(format!("a = a.wrapping_add({mr} * p.a_stride);"));
    w.line(format!("c = c.wrapping_add({mr} * p.c_stride);"));
    w.line(format!("sums = sums.wrapping_add({mr} * p.sums_stride);"));
    w.close();
    w.close();
    w.close();
    kernel
}

/// `step` units of k a turn.
fn k_loop(w: &mut Writer, level: &Level, mr: usize, rows: usize, width: usize, step: usize) {
    let int8 = &level.int8;
    let register = level.lanes / int8.rows * int8.unit;
    w.open(format!("while k + {} <= p.k", step * int8.unit));
    if int8.rows == 2 {
        // A is held and B streams through one register: full panels are wider than tiles are high.
        for i in 0..rows {
            let (low, high) = (2 * i, (2 * i + 1).min(mr - 1));
            w.line(format!("let x{i} = unsafe {{ v::load_pair(a{low}.add(k), a{high}.add(k)) }};"));
        }
        for j in 0..width {
            w.line(format!("let y = unsafe {{ v::load_unit(b.add({})) }};", j * register));
            for i in 0..rows {
                w.line(format!("c{i}_{j} = v::dot(c{i}_{j}, x{i}, y);"));
            }
        }
    } else if step > 1 && width == 2 && int8.spare == 1 {
        turn_of_two(w, int8, rows, register, step);
    } else if step == 1 || int8.a_step == 1 {
        for s in 0..step {
            for j in 0..width {
                w.line(format!("let y{j} = unsafe {{ v::load_unit(b.add({})) }};", (s * width + j) * register));
            }
            for i in 0..rows {
                w.line(format!("let x = unsafe {{ v::splat_unit(a{i}.add({})) }};", offset("k", s * int8.unit)));
                for j in 0..width {
                    w.line(format!("c{i}_{j} = v::dot(c{i}_{j}, x, y{j});"));
                }
            }
        }
    } else {
        for i in 0..rows {
            w.line(format!("let x{i} = unsafe {{ v::load_units(a{i}.add(k)) }};"));
        }
        for s in 0..step {
            for j in 0..width {
                w.line(format!("let y = unsafe {{ v::load_unit(b.add({})) }};", (s * width + j) * register));
                for i in 0..rows {
                    w.line(format!("c{i}_{j} = v::dot_lane::<{s}>(c{i}_{j}, x{i}, y);"));
                }
            }
        }
    }
    w.line(format!("b = unsafe {{ b.add({}) }};", step * width * register));
    prefetch(w, level, step);
    w.line(format!("k += {};", step * int8.unit));
    w.close();
}

/// `step` units of k by `vpmaddwd` and `vpaddd`. In the highest tile sums of two columns, `y0`, `y1`, `x` and `t` are all
/// registers: LLVM loads for the second unit before the first is done, and spills a sum for want of one. A row's second
/// product takes the place of its operand.
fn turn_of_two(w: &mut Writer, int8: &Int8, rows: usize, register: usize, step: usize) {
    w.open("unsafe");
    w.open_call("core::arch::asm!");
    for s in 0..step {
        for j in 0..2 {
            w.line(format!("\"vmovdqu {{y{j}}}, [{{b}} + {}]\",", (2 * s + j) * register));
        }
        for i in 0..rows {
            w.line(format!("\"vpbroadcastd {{x}}, dword ptr [{{a{i}}} + {{k}} + {}]\",", s * int8.unit));
            w.line("\"vpmaddwd {t}, {x}, {y0}\",");
            w.line("\"vpmaddwd {x}, {x}, {y1}\",");
            w.line(format!("\"vpaddd {{c{i}_0}}, {{c{i}_0}}, {{t}}\","));
            w.line(format!("\"vpaddd {{c{i}_1}}, {{c{i}_1}}, {{x}}\","));
        }
    }
    for (i, j) in (0..rows).flat_map(|i| [(i, 0), (i, 1)]) {
        w.line(format!("c{i}_{j} = inout(ymm_reg) c{i}_{j},"));
    }
    for register in ["y0", "y1", "x", "t"] {
        w.line(format!("{register} = out(ymm_reg) _,"));
    }
    for address in (0..rows).map(|i| format!("a{i}")).chain(["b".into(), "k".into()]) {
        w.line(format!("{address} = in(reg) {address},"));
    }
    w.line("options(pure, readonly, nostack, preserves_flags),");
    w.close_call();
    w.close();
}

/// As in `gemm_f32`, the last register of a row lies at `p.last` and may overlap the one before it.
pub fn store(w: &mut Writer, level: &Level, mr: usize, cols: usize, name: &str) {
    let at = |j: usize| if j + 1 == cols { "p.last".to_string() } else { (j * level.lanes).to_string() };
    let tile: Vec<_> = (0..mr).flat_map(|i| (0..cols).map(move |j| (i, j))).collect();
    let narrow = format!("p.columns < {}", level.lanes);
    let whole = cols == level.int8.gemm.len() && [2, 4].contains(&cols);

    w.open("if p.sums.is_null()");
    for j in 0..cols {
        let scales = format!("head.add({}).cast()", 4 * (cols + j) * level.lanes);
        w.line(format!("let s{j} = unsafe {{ v::load({scales}) }};"));
    }
    // Four registers at a time, in as large pieces as adjoin: `whole` panels are rows of several registers.
    let bytes = |w: &mut Writer, whole: bool, plain: bool, part: bool| {
        for four in tile.chunks(4) {
            let scaled = |q: usize| {
                let (i, j) = four[q.min(four.len() - 1)];
                format!("v::scale({name}{i}_{j}, s{j})")
            };
            let [low, high] = [0, 2].map(|q| format!("v::pack({}, {})", scaled(q), scaled(q + 1)));
            let narrow = if plain {
                format!("v::narrow_plain({low}, {high})")
            } else {
                format!("v::narrow({low}, {high}, &output)")
            };
            w.line(format!("let bytes = v::quarters({narrow});"));
            let step = if whole { cols } else { 1 };
            for (q, (i, j)) in four.iter().enumerate().step_by(step) {
                let to = if whole {
                    format!("c.add({i} * p.c_stride)")
                } else {
                    format!("c.add({i} * p.c_stride + {})", at(*j))
                };
                w.line(match (step, part) {
                    (_, true) => format!("unsafe {{ v::store_quarter_n::<{q}>({to}, bytes, p.columns) }};"),
                    (1, _) => format!("unsafe {{ v::store_quarter::<{q}>({to}, bytes) }};"),
                    (2, _) => format!("unsafe {{ v::store_half::<{}>({to}, bytes) }};", q / 2),
                    _ => format!("unsafe {{ v::store_bytes({to}, bytes) }};"),
                });
            }
        }
    };
    if cols == 1 {
        w.open(format!("if {narrow}"));
        bytes(w, false, false, true);
        w.close_open("else");
    }
    if whole {
        w.open(format!("if p.last == {} && output.is_plain()", (cols - 1) * level.lanes));
        bytes(w, true, true, false);
        w.close_open(format!("else if p.last == {}", (cols - 1) * level.lanes));
        bytes(w, true, false, false);
        w.close_open("else");
    }
    bytes(w, false, false, false);
    if cols == 1 || whole {
        w.close();
    }
    w.close_open("else");
    for (i, j) in &tile {
        let to = format!("sums.add({i} * p.sums_stride + {})", at(*j));
        if cols == 1 {
            w.open(format!("if {narrow}"));
            w.line(format!("unsafe {{ v::store_i32_n({to}, {name}{i}_{j}, p.columns) }};"));
            w.close_open("else");
        }
        w.line(format!("unsafe {{ v::store_i32({to}, {name}{i}_{j}) }};"));
        if cols == 1 {
            w.close();
        }
    }
    w.close();
}

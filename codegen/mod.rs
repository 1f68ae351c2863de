//! The generator: structure only, no intrinsic, no dependency. See `codegen/README.md`.

pub mod dwconv_f32;
pub mod dwconv_i8;
pub mod elementwise;
pub mod elementwise_i8;
pub mod gemm_f32;
pub mod gemm_i8;
pub mod gemm_i8_amx;
pub mod interleave;
pub mod level;
pub mod lookup_i8;
pub mod pool;
pub mod pool_i8;
pub mod probe;
pub mod tables;
pub mod transpose;
pub mod writer;

use level::Level;
use writer::Writer;

/// One emitted kernel: what the tables say of it.
pub struct Kernel {
    /// `gemm_f32_6x16_avx2`: the identifier and, without the level, the documentation.
    pub name: String,
    /// Vector registers that the inner loop needs; the budget was asserted against the level's.
    pub registers: usize,
}

/// The kernels of one level by family, in the order of its table.
pub struct Family {
    /// The field of `kolibri::kernels::Kernels`.
    pub field: &'static str,
    pub kernels: Vec<Kernel>,
}

/// Whether a Cargo feature of the crate is on.
pub type On = fn(&str) -> bool;

/// The text of every kernel of `level`, and what the tables need of it: of a family that no feature asks for, that it has
/// no kernels.
pub fn emit_level(level: &Level, on: On) -> (String, Vec<Family>) {
    let mut w = Writer::new();
    w.line(format!("// Kernels for {}, emitted by codegen/: change the description, not this text.", level.name));
    w.line("use super::*;");
    w.line(format!("use crate::isa::{} as v;", level.name));
    let mut families = Vec::new();
    let mut emit = |features: &[&str], describe: fn(&mut Writer, &Level) -> Family| {
        let all = features.iter().all(|feature| on(feature));
        let mut nowhere = Writer::new();
        let mut family = describe(if all { &mut w } else { &mut nowhere }, level);
        if !all {
            family.kernels.clear();
        }
        families.push(family);
    };
    let (always, int8): (&[&str], &[&str]) = (&[], &["int8"]);
    if !level.variant.is_empty() && level.base.is_none() {
        emit(always, gemm_f32::emit_all);
        emit(always, gemm_f32::emit_gemv);
        emit(always, dwconv_f32::emit_all);
        emit(always, dwconv_f32::emit_taps);
        emit(&["pool"], pool::emit_all);
        emit(always, elementwise::emit_all);
        emit(&["shuffle"], transpose::emit_x32);
        emit(&["shuffle"], interleave::emit_x32);
        emit(always, probe::emit_fma);
        emit(always, probe::emit_read);
        emit(int8, elementwise_i8::emit_requantise);
        emit(int8, elementwise_i8::emit_quantise);
        emit(int8, elementwise_i8::emit_widen);
        emit(&["int8", "pool"], pool_i8::emit_all);
        emit(int8, elementwise_i8::emit_scale);
        emit(int8, elementwise_i8::emit_add);
        emit(&["int8", "shuffle"], transpose::emit_x8);
        emit(&["int8", "shuffle"], interleave::emit_x8);
        emit(int8, lookup_i8::emit);
    }
    if level.tiles {
        emit(int8, gemm_i8_amx::emit_all);
        emit(int8, probe::emit_tiles);
    } else if !level.variant.is_empty() {
        emit(int8, gemm_i8::emit_all);
        emit(int8, probe::emit_dot);
    }
    if level.int8.has_depthwise() && !level.tiles {
        emit(int8, dwconv_i8::emit_all);
        emit(int8, dwconv_i8::emit_taps);
    }
    (w.finish(), families)
}

/// Opens a kernel: its documentation, its features and its head. `what` completes the sentence "Computes".
fn kernel_head(w: &mut Writer, level: &Level, family: &str, args: &str, what: &str, registers: usize) -> Kernel {
    let name = format!("{family}_{}", level.name);
    assert!(registers <= level.registers, "{name} needs {registers} registers, {} has {}", level.name, level.registers);
    w.line("");
    w.line(format!("/// {what}; {registers} of {} registers.", level.registers));
    w.line("///");
    w.line("/// # Safety");
    if level.features.is_empty() {
        w.line(format!("/// `p` keeps the contract of [`{args}`]."));
    } else {
        w.line(format!("/// The CPU has {}, and `p` keeps the contract of [`{args}`].", level.features.join(", ")));
    }
    target_features(w, level);
    w.open(format!("pub unsafe fn {name}(p: &{args})"));
    Kernel { name, registers }
}

/// The attribute of a function that uses the vocabulary.
fn target_features(w: &mut Writer, level: &Level) {
    if !level.features.is_empty() {
        w.line(format!("#[target_feature(enable = \"{}\")]", level.known_features().collect::<Vec<_>>().join(",")));
    }
}

/// Before the tiles of a product's panel, of which a step of the innermost loop reads `bytes`: what lies behind the panel is
/// fetched evenly over all tiles, as by the first of them alone it would come faster than memory brings it, and what they
/// compute with would wait. A step asks for one line at most, often for the one that the step before asked for.
fn prefetch_panel(w: &mut Writer, level: &Level, bytes: usize) {
    if !level.prefetch {
        return;
    }
    w.line("let (mut ahead, behind) = (head.wrapping_add(p.panel_len), head.wrapping_add(2 * p.panel_len));");
    w.line(format!("let pace = {bytes}usize.div_ceil(p.tiles.max(1)).min(64);"));
}

/// Before the innermost loop.
fn prefetch_tile(w: &mut Writer, level: &Level) {
    if !level.prefetch {
        return;
    }
    w.line("let by = if p.ahead && ahead < behind { pace } else { 0 };");
}

/// In the innermost loop, where a turn has so many steps.
fn prefetch(w: &mut Writer, level: &Level, steps: usize) {
    if !level.prefetch {
        return;
    }
    w.line("v::prefetch(ahead.cast());");
    for step in 1..steps {
        w.line(format!("v::prefetch(ahead.wrapping_byte_add({step} * by).cast());"));
    }
    w.line(format!("ahead = ahead.wrapping_byte_add({steps} * by);"));
}

/// A row of A. Where a turn takes several values of it, LLVM must not know how rows were found: else it steps or computes a
/// pointer for each row in each turn, where one index serves all.
fn opaque_row(opaque: bool, row: String) -> String {
    if opaque { format!("v::opaque({row})") } else { row }
}

/// The sum of a variable and a number.
fn offset(variable: &str, by: usize) -> String {
    if by == 0 { variable.into() } else { format!("{variable} + {by}") }
}

/// The comma-separated list of `f(i)`.
fn list(range: std::ops::Range<usize>, f: impl Fn(usize) -> String) -> String {
    range.map(f).collect::<Vec<_>>().join(", ")
}

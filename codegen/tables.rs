//! The tables through which kernels are reached, and the list of levels.

use super::{
    Family, Kernel,
    level::{Fma, Int8, LEVELS, Level},
    probe,
    writer::Writer,
};

/// The enum `Level` of every architecture, so that any level can be named on any host.
pub fn emit_levels() -> String {
    let mut w = Writer::new();
    w.line("/// An instruction set for which kernels are emitted, named by the last feature that it requires. Better levels");
    w.line("/// compare greater, within an architecture.");
    w.line("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    w.line("#[non_exhaustive]");
    w.open("pub enum Level");
    for level in LEVELS {
        let what = if level.features.is_empty() {
            "Any CPU, by the crate `wide` and what the compiler may assume of the target".to_string()
        } else {
            format!("{}: {}", level.arch, level.features.join(", "))
        };
        w.line(format!("/// {what}."));
        w.line(format!("{},", level.variant));
    }
    w.close();
    w.line("");
    w.open("impl Level");
    w.line("/// Every level of every architecture, the portable one first, better ones later.");
    let all: Vec<_> = LEVELS.iter().map(|l| format!("Level::{}", l.variant)).collect();
    w.line(format!("pub const ALL: &[Level] = &[{}];", all.join(", ")));
    match_level(&mut w, "The name, as in `KOLIBRI_ISA` and in kernel names.", "name", "&'static str", |l| {
        format!("\"{}\"", l.name)
    });
    match_level(&mut w, "The `target_arch` that has it, or \"any\".", "arch", "&'static str", |l| {
        format!("\"{}\"", l.arch)
    });
    match_level(&mut w, "Every CPU feature that its code uses.", "features", "&'static [&'static str]", |l| {
        format!("&{:?}", l.features)
    });
    w.close();
    w.finish()
}

fn match_level(w: &mut Writer, doc: &str, name: &str, ty: &str, f: impl Fn(&Level) -> String) {
    w.line("");
    w.line(format!("/// {doc}"));
    w.open(format!("pub const fn {name}(self) -> {ty}"));
    w.open("match self");
    for l in LEVELS {
        w.line(format!("Level::{} => {},", l.variant, f(l)));
    }
    w.close();
    w.close();
}

/// For `arch`: the test of each level's features, and its table.
pub fn emit_tables(arch: &str, families: &[(&Level, Vec<Family>)]) -> String {
    let mut w = Writer::new();
    w.line(format!("// Tables for {arch}, emitted by codegen/tables.rs."));
    for (level, families) in families.iter().filter(|(level, _)| !level.tiles) {
        emit_depthwise_i8(&mut w, level, families);
    }
    let levels = || families.iter().filter(|(level, _)| !level.variant.is_empty());
    w.line("/// The table of a level of this architecture whose feature is on, whether or not this CPU has it.");
    w.line("#[allow(clippy::match_single_binding)] // where there is no level");
    w.open("pub(crate) fn table(level: Level) -> Option<&'static Kernels>");
    w.open("match level");
    for (level, _) in levels() {
        w.line(format!("Level::{} => Some(const {{ &{} }}),", level.variant, level.name.to_uppercase()));
    }
    if levels().count() < LEVELS.len() {
        w.line("_ => None,");
    }
    w.close();
    w.close();
    w.line("");
    w.line("/// Whether this CPU has every feature that the level's code uses.");
    w.line(
        "#[allow(clippy::match_like_matches_macro, clippy::match_single_binding)] // where there is one level, or none",
    );
    w.line("#[allow(clippy::eq_op, clippy::nonminimal_bool)] // without `std`, `has!` is a constant");
    w.open("fn cpu_has(level: Level) -> bool");
    w.open("match level");
    for (level, _) in levels() {
        let mut tests: Vec<_> = level.known_features().map(|f| format!("has!(\"{f}\")")).collect();
        if tests.len() < level.features.len() {
            tests.push("crate::detect::amx()".into());
        }
        let all = if tests.is_empty() { "true".into() } else { tests.join(" && ") };
        w.line(format!("Level::{} => {all},", level.variant));
    }
    if levels().count() < LEVELS.len() {
        w.line("_ => false,");
    }
    w.close();
    w.close();
    w.line("");
    w.line("/// The emitted text of a level's kernels; empty for a level of another architecture, and without its feature.");
    w.line("#[allow(clippy::match_single_binding)] // where there is no level");
    w.open("pub fn emitted(level: Level) -> &'static str");
    w.open("match level");
    for (level, _) in levels() {
        // With that of its half.
        let is_half = |l: &Level| l.variant.is_empty() && l.base == Some(level.name);
        let texts = families.iter().filter(|(l, _)| l.name == level.name || is_half(l));
        let texts: Vec<_> =
            texts.map(|(l, _)| format!("include_str!(concat!(env!(\"OUT_DIR\"), \"/{}.rs\"))", l.name)).collect();
        w.line(format!("Level::{} => concat!({}),", level.variant, texts.join(", ")));
    }
    if levels().count() < LEVELS.len() {
        w.line("_ => \"\",");
    }
    w.close();
    w.close();
    for (level, families) in levels() {
        w.line("");
        w.open(format!("const {}: Kernels = Kernels", level.name.to_uppercase()));
        w.line(format!("level: Level::{},", level.variant));
        w.line(format!("probe_dot_ops: {},", probe::dot_ops(level)));
        if !level.tiles {
            emit_int8(&mut w, level);
        }
        if level.base.is_none() {
            emit_facts(&mut w, level);
        }
        for family in families.iter().filter(|family| !family.field.starts_with("dwconv_i8")) {
            emit_family(&mut w, level, family);
        }
        if let Some(base) = level.base {
            w.line(format!("..{}", base.to_uppercase()));
        }
        w.close_with(";");
    }
    w.finish()
}

/// How a level multiplies bytes, and its depthwise kernels for that.
fn emit_int8(w: &mut Writer, level: &Level) {
    w.line(format!("int8: {},", int8_facts(level)));
    let own = level.int8.has_depthwise().then_some(level.name);
    let depthwise: Vec<_> =
        own.iter().chain(level.int8.dw_narrower).map(|name| format!("&DW_I8_{}", name.to_uppercase())).collect();
    w.line(format!("dw_i8: &[{}],", depthwise.join(", ")));
}

/// What levels without a base have of their own.
fn emit_facts(w: &mut Writer, level: &Level) {
    w.line(format!("lanes: {},", level.lanes));
    let fma = match level.fma {
        Fma::Always => "true",
        Fma::IfTarget => {
            "cfg!(any(target_feature = \"fma\", all(target_arch = \"aarch64\", target_feature = \"neon\")))"
        }
    };
    w.line(format!("fma: {fma},"));
    w.line("gemm_i8_amx: &[],");
    w.line(format!("gemm_mr: &{:?},", level.gemm));
    w.line(format!("gemv_panels: {},", level.gemv_panels));
    w.line(format!("prefetch: {},", level.prefetch));
    w.line(format!("dw_rows: {},", level.dw_rows));
    w.line(format!("dw_pixels: &{:?},", level.dw_pixels));
    w.line(format!("probe_fma_flops: {},", 2 * level.lanes * (level.registers - 4)));
}

fn int8_facts(level: &Level) -> String {
    let Int8 { element, unit, rows, signed, gemm, .. } = level.int8;
    let lanes = level.lanes;
    format!(
        "Int8 {{ lanes: {lanes}, element: {element}, unit: {unit}, rows: {rows}, signed: {signed}, mr: &{gemm:?} }}"
    )
}

fn emit_family(w: &mut Writer, level: &Level, family: &Family) {
    w.line(format!("{}: &[", family.field));
    for kernel in &family.kernels {
        let Kernel { name, registers } = kernel;
        w.line(format!(
            "Kernel {{ name: \"{name}\", registers: {registers}, run: generated::{}::{name} }},",
            level.name
        ));
    }
    w.line("],");
}

/// The depthwise kernels of a level, apart because wider levels have them too.
fn emit_depthwise_i8(w: &mut Writer, level: &Level, families: &[Family]) {
    if !level.int8.has_depthwise() {
        return;
    }
    w.line("");
    w.open(format!("static DW_I8_{}: DwI8 = DwI8", level.name.to_uppercase()));
    w.line(format!("int8: {},", int8_facts(level)));
    w.line(format!("registers: {},", level.int8.dw_registers));
    w.line(format!("pixels: &{:?},", level.int8.dw_pixels));
    for family in families.iter().filter(|family| family.field.starts_with("dwconv_i8")) {
        emit_family(w, level, family);
    }
    w.close_with(";");
}

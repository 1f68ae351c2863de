//! `kolibri kernels`: the kernels of every level.

use super::{print, print_json};
use anyhow::{Context, Result};
use clap::Args;
use kolibri::{Level, emitted};
use kolibri_zoo::report::{Cell, Report, Table};

#[derive(Args, Clone)]
pub struct Arguments {
    /// Print the text of one kernel as it was emitted
    #[arg(long, value_name = "KERNEL")]
    emit: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let in_use = Level::selected()?.level;
    let here = || Level::ALL.iter().copied().filter(|level| ["any", std::env::consts::ARCH].contains(&level.arch()));
    if let Some(name) = &arguments.emit {
        let text = here().find_map(|level| function(emitted(level), name));
        let text = text.with_context(|| format!("unknown kernel '{name}': `kolibri kernels` lists them"))?;
        return if arguments.json { print_json(&serde_json::json!({ name: text })) } else { print(text) };
    }
    let mut report = Report::default();
    for level in here() {
        let used = if level == in_use { "in use" } else { "" };
        let Some(kernels) = level.kernels() else {
            report.tables.push(Table::new(format!("level {}: skipped, this CPU lacks it", level.name()), &[]));
            continue;
        };
        let title = format!("level {}{}{used}", level.name(), if used.is_empty() { "" } else { ": " });
        let mut table = Table::new(title, &["kernel", "tile", "registers", "in use"]);
        for (name, registers) in kernels.list() {
            table.row([
                Cell::text(name),
                Cell::text(tile(name)),
                Cell::number(registers as f64, 0),
                Cell::text(if level == in_use { "*" } else { "" }),
            ]);
        }
        report.tables.push(table);
    }
    report.fact("level in use", Cell::text(in_use.name()));
    if arguments.json { print_json(&report.json()) } else { print(report) }
}

/// What stands between family and level: `6x16` of `gemm_f32_6x16_avx2`. The level need not be that of the table: one
/// shares what it does not better.
fn tile(name: &str) -> &str {
    let shape = Level::ALL.iter().find_map(|level| name.strip_suffix(level.name())?.strip_suffix('_')).unwrap_or(name);
    let family_end = ["_f32", "_x32", "_i8"].iter().find_map(|element| Some(shape.find(element)? + element.len()));
    shape[family_end.unwrap_or(shape.len())..].trim_start_matches('_')
}

/// The function of that name with its comments and attributes, cut out of the emitted text.
fn function(text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let head = format!("fn {name}(");
    let at = lines.iter().position(|line| line.contains(&head))?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let belongs = |line: &str| line.trim_start().starts_with("//") || line.trim_start().starts_with('#');
    let start = at - lines[..at].iter().rev().take_while(|line| belongs(line)).count();
    let end = lines[at..].iter().position(|line| line.trim() == "}" && indent(line) == indent(lines[at]))? + at;
    Some(lines[start..=end].iter().map(|line| format!("{}\n", line.get(indent(lines[at])..).unwrap_or(""))).collect())
}

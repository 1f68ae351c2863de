//! What a command found, as tables for people or as JSON for programs: both are made from the same cells.

use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table as TextTable, TableStyle};
use serde_json::{Map, Value, json};
use std::fmt;

/// Columns apart, a line under their names, nothing else.
const STYLE: TableStyle = TableStyle::new()
    .header_lines(ContentLineStyle::none().junction(' '))
    .header_separator(LineStyle::none().fill('-').junction(' '))
    .content_lines(ContentLineStyle::none().junction(' '));

/// A value in a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number, and the decimals that people see of it.
    Number(f64, usize),
    /// Nothing to say.
    Empty,
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    /// A number, or nothing where it is not finite, such as a rate of no operations.
    pub fn number(value: f64, decimals: usize) -> Cell {
        if value.is_finite() { Cell::Number(value, decimals) } else { Cell::Empty }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => json!(text),
            Cell::Number(value, 0) if value.fract() == 0.0 => json!(*value as i64),
            Cell::Number(value, _) => json!(value),
            Cell::Empty => Value::Null,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Text(text) => f.write_str(text),
            Cell::Number(value, decimals) => write!(f, "{value:.decimals$}"),
            Cell::Empty => Ok(()),
        }
    }
}

/// Rows of cells under names.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it is about.
    pub title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Without rows.
    pub fn new(title: impl Into<String>, columns: &'static [&'static str]) -> Table {
        Table { title: title.into(), columns, rows: Vec::new() }
    }

    /// Appends a row: a cell for each column.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "{}: a cell for each column", self.title);
        self.rows.push(cells);
    }

    fn json(&self) -> Value {
        let row = |cells: &Vec<Cell>| -> Map<String, Value> {
            self.columns.iter().zip(cells).map(|(name, cell)| (key(name), cell.json())).collect()
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = TextTable::new();
        text.load_style(STYLE).set_header(self.columns.iter().copied());
        for row in &self.rows {
            text.add_row(row.iter().map(Cell::to_string));
        }
        for (i, column) in text.column_iter_mut().enumerate() {
            if self.rows.iter().any(|row| matches!(row[i], Cell::Number(..))) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{}\n{}", self.title, text.trim_fmt())
    }
}

/// Facts with a name each, and tables.
#[derive(Clone, Debug, Default)]
pub struct Report {
    facts: Vec<(&'static str, Cell)>,
    /// The tables.
    pub tables: Vec<Table>,
}

impl Report {
    /// Appends a fact.
    pub fn fact(&mut self, name: &'static str, value: Cell) {
        self.facts.push((name, value));
    }

    /// As one JSON object: the facts, and `tables`.
    pub fn json(&self) -> Value {
        let facts = self.facts.iter().map(|(name, cell)| (key(name), cell.json()));
        let mut object: Map<String, Value> = facts.collect();
        object.insert("tables".into(), self.tables.iter().map(Table::json).collect());
        Value::Object(object)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| writeln!(f, "{table}"))?;
        let width = self.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.facts.iter().try_for_each(|(name, cell)| writeln!(f, "{name:width$}  {cell}"))
    }
}

/// `read GB/s` as `read_GB_per_s`.
fn key(name: &str) -> String {
    name.replace(' ', "_").replace('/', "_per_")
}

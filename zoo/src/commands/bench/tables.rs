//! What was measured, as tables.

use kolibri_zoo::{
    layer::{Class, Layer, Shape},
    report::{Cell, Table},
};

/// A measured layer, or several that one operator does.
pub struct Line {
    name: String,
    /// Of the first.
    pub shape: Shape,
    pub class: Class,
    op: String,
    describe: String,
    flops: f64,
    /// Values that must be read or written: inputs, outputs, weights; not what lies between several layers.
    values: f64,
    count: usize,
    pub seconds: Seconds,
    kernels: Vec<&'static str>,
    note: &'static str,
}

/// Of one layer; NaN where there is nothing to run.
#[derive(Clone, Copy)]
pub struct Seconds {
    pub f32: f64,
    pub int8: f64,
}

impl Line {
    pub fn new(
        layers: &[Layer],
        count: usize,
        seconds: Seconds,
        kernels: Vec<&'static str>,
        note: &'static str,
    ) -> Line {
        let (shape, name) = (layers[0].shape, layers[0].name.clone());
        let class = if layers.len() == 1 { shape.class() } else { Class::Fused };
        let op = layers.iter().map(|layer| layer.shape.op_name()).collect::<Vec<_>>().join(" ");
        let describe = match layers {
            [layer] => layer.shape.describe(),
            _ => {
                let through = layers.iter().map(|layer| format!(" -> {}", layer.shape.cout));
                format!("{}x{}x{}{}", shape.hin, shape.win, shape.cin, through.collect::<String>())
            }
        };
        let flops = layers.iter().map(|layer| layer.shape.flops()).sum();
        let (last, params) =
            (&layers[layers.len() - 1], layers.iter().map(|layer| layer.shape.params()).sum::<usize>());
        let residual = last.residual().map_or(0, |_| last.shape.y_len());
        let values = (shape.x_len() + residual + last.shape.y_len() + params) as f64;
        Line { name, shape, class, op, describe, flops, values, count, seconds, kernels, note }
    }

    /// Without a measurement.
    pub fn absent(layer: &Layer, count: usize, why: &'static str) -> Line {
        Line::new(std::slice::from_ref(layer), count, Seconds { f32: f64::NAN, int8: f64::NAN }, Vec::new(), why)
    }

    fn is_depthwise(&self, k: usize) -> bool {
        self.class == Class::Depthwise && self.shape.k == k
    }
}

/// Operations a second that the machine can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    pub f32: f64,
    /// Where bytes are measured.
    pub int8: Option<f64>,
}

impl Peaks {
    /// The machine may change its clock between measurements.
    pub fn max(self, other: Peaks) -> Peaks {
        Peaks { f32: self.f32.max(other.f32), int8: self.int8.into_iter().chain(other.int8).reduce(f64::max) }
    }

    /// Rate and percent of the peak.
    fn cells(&self, flops: f64, seconds: Seconds) -> [Cell; 2] {
        let (peak, seconds) = self.int8.map_or((self.f32, seconds.f32), |peak| (peak, seconds.int8));
        let rate = if flops > 0.0 { flops / seconds } else { f64::NAN };
        [Cell::number(rate * 1e-9, 1), Cell::number(100.0 * rate / peak, 1)]
    }

    /// Microseconds; those of f32 and bytes, and their ratio, where bytes are measured.
    fn times(&self, seconds: Seconds) -> Vec<Cell> {
        let Seconds { f32, int8 } = seconds;
        let us = |seconds: f64| Cell::number(seconds * 1e6, 1);
        if self.int8.is_some() { vec![us(f32), us(int8), Cell::number(f32 / int8, 2)] } else { vec![us(f32)] }
    }
}

pub fn layers(name: &str, lines: &[Line], peaks: &Peaks) -> Table {
    let columns: &[_] = if peaks.int8.is_some() {
        &[
            "layer",
            "op",
            "shape",
            "count",
            "ops/byte",
            "us f32",
            "us",
            "f32/int8",
            "gops",
            "percent of peak",
            "kernels",
            "note",
        ]
    } else {
        &["layer", "op", "shape", "count", "ops/byte", "us", "gflops", "percent of peak", "kernels", "note"]
    };
    let size = if peaks.int8.is_some() { 1.0 } else { 4.0 };
    let mut table = Table::new(format!("{name}: layers, us of each"), columns);
    for line in lines {
        let mut row = vec![
            Cell::text(&line.name),
            Cell::text(&line.op),
            Cell::text(&line.describe),
            Cell::number(line.count as f64, 0),
            Cell::number(line.flops / (size * line.values), 1),
        ];
        row.extend(peaks.times(line.seconds));
        row.extend(peaks.cells(line.flops, line.seconds));
        row.extend([Cell::text(line.kernels.join(" ")), Cell::text(line.note)]);
        table.row(row);
    }
    table
}

/// Rates of a class are its operations over its time, so that slow layers weigh what they cost. Where bytes are measured,
/// layers that have no operator on them are left out.
pub fn classes(lines: &[Line], peaks: &Peaks) -> Table {
    let columns: &[_] = if peaks.int8.is_some() {
        &["class", "layers", "us f32", "us", "f32/int8", "percent of time", "gops", "percent of peak"]
    } else {
        &["class", "layers", "us", "percent of time", "gflops", "percent of peak"]
    };
    let mut table = Table::new("classes, us of all layers", columns);
    let measured = |line: &&Line| if peaks.int8.is_some() { line.seconds.int8 } else { line.seconds.f32 }.is_finite();
    let run = || lines.iter().filter(measured);
    let sum = |of: &dyn Fn(&Line) -> bool| {
        let nothing = (0, 0.0, Seconds { f32: 0.0, int8: 0.0 });
        run().filter(|line| of(line)).fold(nothing, |(layers, flops, seconds), line| {
            let count = line.count as f64;
            let Seconds { f32, int8 } = line.seconds;
            let seconds = Seconds { f32: seconds.f32 + count * f32, int8: seconds.int8 + count * int8 };
            (layers + line.count, flops + count * line.flops, seconds)
        })
    };
    let of_all = |seconds: Seconds| if peaks.int8.is_some() { seconds.int8 } else { seconds.f32 };
    let total = sum(&|_| true);
    let mut row = |name: &str, (layers, flops, seconds): (usize, f64, Seconds)| {
        let mut row = vec![Cell::text(name), Cell::number(layers as f64, 0)];
        row.extend(peaks.times(seconds));
        row.push(Cell::number(100.0 * of_all(seconds) / of_all(total.2), 1));
        row.extend(peaks.cells(flops, seconds));
        table.row(row);
    };
    for class in Class::ALL {
        let of_class = sum(&|line| line.class == class);
        if of_class.0 > 0 {
            row(class.name(), of_class);
        }
    }
    for k in (1..=11).filter(|&k| lines.iter().any(|line| line.is_depthwise(k))) {
        row(&format!("depthwise {k}x{k}"), sum(&|line| line.is_depthwise(k)));
    }
    row("all", total);
    table
}

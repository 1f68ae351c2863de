//! `kolibri bench`: networks layer by layer.

use super::{Common, print, print_json};
use anyhow::{Context, Result, bail};
use clap::Args;
use kolibri::{Parallel, kernels::Kernels};
use kolibri_zoo::{
    layer::{Class, Layer, Shape},
    lone::{self, Lone},
    model::{Model, directory},
    network::Network,
    peak,
    report::{Cell, Report, Table},
    timing::Times,
};
use std::time::{Duration, Instant};

/// Time for the runs of a whole network, and as much again for its layers.
const WHOLE: Duration = Duration::from_secs(1);
/// Time for a lone layer.
const LONE: Duration = Duration::from_millis(20);

#[derive(Args, Clone)]
pub struct Arguments {
    /// Networks with weights, in zoo/models, or of zoo/networks; the classes of several are summed up at the end
    #[arg(required_unless_present = "all", value_name = "NETWORK")]
    networks: Vec<String>,
    /// Every network
    #[arg(long, conflicts_with = "networks")]
    all: bool,
    /// Measure each distinct layer by itself, with hot caches, also where there are weights for the whole network
    #[arg(long)]
    lone: bool,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let kernels = common.kernels()?;
    let models = Model::known(&common.models())?;
    let networks = lone::known(&directory("networks"))?;
    let mut known = [models.clone(), networks.clone()].concat();
    known.sort();
    known.dedup();
    if let Some(name) = arguments.networks.iter().find(|name| !known.contains(name)) {
        bail!("unknown network '{name}', known are {}", known.join(" "));
    }
    let chosen = if arguments.all { known } else { arguments.networks.clone() };
    let mut all = Vec::new();
    let mut show = |report: Report| {
        if common.json {
            all.push(report.json());
            return Ok(());
        }
        print(format_args!("{report}\n"))
    };
    let (mut every, mut peak) = (Vec::new(), 0.0f64);
    for name in &chosen {
        let report = common.with_threads(|parallel| {
            let with_weights = models.contains(name);
            let mut bench = Bench::new(kernels, parallel)?;
            let mut report = Report::default();
            let lines = if with_weights && !arguments.lone {
                bench.whole(&Model::load(&common.models(), name)?, &mut report)?
            } else if networks.contains(name) {
                bench.lone(&lone::load(&directory("networks"), name)?)?
            } else {
                bench.lone(&Model::load(&common.models(), name)?.layers)?
            };
            let report = bench.finish(name, &lines, report);
            every.extend(lines);
            peak = peak.max(bench.peak);
            report
        })?;
        show(report)?;
    }
    if chosen.len() > 1 {
        let mut sum = Report::default();
        sum.tables.push(classes(&every, peak));
        sum.fact("networks", Cell::text(chosen.join(" ")));
        sum.fact("level", Cell::text(kernels.level.name()));
        sum.fact("peak gflops", Cell::number(peak * 1e-9, 1));
        show(sum)?;
    }
    if common.json { print_json(&all.into()) } else { Ok(()) }
}

/// A measured layer.
struct Line {
    name: String,
    shape: Shape,
    count: usize,
    /// Of one layer; NaN where there is nothing to run.
    seconds: f64,
    kernels: Vec<&'static str>,
    note: &'static str,
}

impl Line {
    fn is_depthwise(&self, k: usize) -> bool {
        self.shape.class() == Class::Depthwise && self.shape.k == k
    }
}

struct Bench<'a> {
    kernels: &'static Kernels,
    parallel: &'a dyn Parallel,
    peak: f64,
}

impl<'a> Bench<'a> {
    fn new(kernels: &'static Kernels, parallel: &'a dyn Parallel) -> Result<Self> {
        Ok(Bench { kernels, parallel, peak: peak::fma(kernels, parallel)? })
    }

    /// A network end to end, then layer by layer inside whole runs: each layer finds the caches as the one before left
    /// them.
    fn whole(&mut self, model: &Model, report: &mut Report) -> Result<Vec<Line>> {
        let parallel = self.parallel;
        let mut network = Network::new(model, self.kernels, parallel.threads())?;
        let input = vec![0.5; network.input_len()];
        network.run(&input, parallel)?;
        let total = Times::measure(WHOLE, usize::MAX, || network.run(&input, parallel).map(|_| ()))?;

        let mut samples = vec![Vec::new(); model.layers.len()];
        Times::measure(WHOLE, usize::MAX, || {
            let mut start = Instant::now();
            network.run_each(&input, parallel, |i, _| {
                samples[i].push(start.elapsed().as_secs_f64());
                start = Instant::now();
            })?;
            Ok(())
        })?;
        // The machine may have changed its clock since the first measurement.
        self.peak = self.peak.max(peak::fma(self.kernels, parallel)?);

        let rate = model.flops() / total.median();
        report.fact("ms median", Cell::number(total.median() * 1e3, 3));
        report.fact("ms minimum", Cell::number(total.min() * 1e3, 3));
        report.fact("gflops", Cell::number(rate * 1e-9, 1));
        report.fact("percent of peak", Cell::number(100.0 * rate / self.peak, 1));
        let layers = model.layers.iter().zip(samples).zip(network.kernel_names());
        Ok(layers
            .map(|((layer, samples), kernels)| line(layer, 1, Times::new(samples).median(), kernels, ""))
            .collect())
    }

    fn lone(&mut self, layers: &[Layer]) -> Result<Vec<Line>> {
        let measure = |distinct: lone::Distinct| {
            let lone::Distinct { layer, count } = distinct;
            if let Some(why) = layer.shape.absent() {
                return Ok(line(&layer, count, f64::NAN, Vec::new(), why));
            }
            let mut lone = Lone::new(&layer, self.kernels, self.parallel.threads())
                .with_context(|| format!("{} {}", layer.name, layer.shape.describe()))?;
            lone.run(self.parallel)?;
            let times = Times::measure(LONE, usize::MAX, || Ok(lone.run(self.parallel)?))?;
            Ok(line(&layer, count, times.min(), lone.kernel_names(), layer.shape.left_out().unwrap_or("")))
        };
        let lines = lone::distinct(layers).into_iter().map(measure).collect();
        self.peak = self.peak.max(peak::fma(self.kernels, self.parallel)?);
        lines
    }

    fn finish(&self, name: &str, lines: &[Line], mut report: Report) -> Result<Report> {
        report.tables.push(self.layers(name, lines));
        report.tables.push(classes(lines, self.peak));
        if let Some(fc) = lines.iter().rfind(|line| line.shape.class() == Class::FullyConnected) {
            let values = fc.shape.cin * fc.shape.cout;
            let rate = (values * size_of::<f32>()) as f64 / fc.seconds;
            report.fact("fc weights MB", Cell::number((values * size_of::<f32>()) as f64 * 1e-6, 2));
            report.fact("fc weights GB/s", Cell::number(rate * 1e-9, 1));
            let read = peak::read(self.kernels, values, self.parallel)?;
            report.fact("read GB/s of as much", Cell::number(read * 1e-9, 1));
        }
        report.fact("network", Cell::text(name));
        report.fact("level", Cell::text(self.kernels.level.name()));
        report.fact("threads", Cell::number(self.parallel.threads() as f64, 0));
        report.fact("peak gflops", Cell::number(self.peak * 1e-9, 1));
        Ok(report)
    }

    fn layers(&self, name: &str, lines: &[Line]) -> Table {
        let columns = &["layer", "op", "shape", "count", "us", "gflops", "percent of peak", "kernels", "note"];
        let mut table = Table::new(format!("{name}: layers, us of each"), columns);
        for line in lines {
            let rate = rate(line.shape.flops(), line.seconds);
            table.row([
                Cell::text(&line.name),
                Cell::text(line.shape.op_name()),
                Cell::text(line.shape.describe()),
                Cell::number(line.count as f64, 0),
                Cell::number(line.seconds * 1e6, 1),
                Cell::number(rate * 1e-9, 1),
                Cell::number(100.0 * rate / self.peak, 1),
                Cell::text(line.kernels.join(" ")),
                Cell::text(line.note),
            ]);
        }
        table
    }
}

/// Rates of a class are its operations over its time, so that slow layers weigh what they cost.
fn classes(lines: &[Line], peak: f64) -> Table {
    let columns = &["class", "layers", "us", "percent of time", "gflops", "percent of peak"];
    let mut table = Table::new("classes, us of all layers", columns);
    let run = || lines.iter().filter(|line| line.seconds.is_finite());
    let sum = |of: &dyn Fn(&Line) -> bool| {
        run().filter(|line| of(line)).fold((0, 0.0, 0.0), |(layers, flops, seconds), line| {
            let count = line.count as f64;
            (layers + line.count, flops + count * line.shape.flops(), seconds + count * line.seconds)
        })
    };
    let total = sum(&|_| true);
    let mut row = |name: &str, (layers, flops, seconds): (usize, f64, f64)| {
        let rate = rate(flops, seconds);
        table.row([
            Cell::text(name),
            Cell::number(layers as f64, 0),
            Cell::number(seconds * 1e6, 1),
            Cell::number(100.0 * seconds / total.2, 1),
            Cell::number(rate * 1e-9, 1),
            Cell::number(100.0 * rate / peak, 1),
        ]);
    };
    for class in Class::ALL {
        let of_class = sum(&|line| line.shape.class() == class);
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

fn line(layer: &Layer, count: usize, seconds: f64, kernels: Vec<&'static str>, note: &'static str) -> Line {
    Line { name: layer.name.clone(), shape: layer.shape, count, seconds, kernels, note }
}

/// Operations a second; NaN, which tables leave empty, where there are none.
fn rate(flops: f64, seconds: f64) -> f64 {
    if flops > 0.0 { flops / seconds } else { f64::NAN }
}

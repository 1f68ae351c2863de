//! `kolibri bench`: networks layer by layer.

mod tables;

use super::{Common, print, print_json};
use anyhow::{Context, Result};
use clap::Args;
use kolibri::{Parallel, kernels::Kernels};
use kolibri_zoo::{
    layer::{Class, Layer},
    lone::{self, Lone},
    network::Network,
    networks, peak,
    quantized::QuantizedNetwork,
    report::{Cell, Report},
    simplify::simplify,
    timing::Times,
};
use std::{
    ops::Range,
    time::{Duration, Instant},
};
use tables::{Line, Peaks, Seconds, classes, layers};

/// Time for the runs of a whole network, and as much again for its layers.
const WHOLE: Duration = Duration::from_secs(1);
/// Time for a lone layer, as much again where bytes are measured, and the time for which one of the two has the caches.
const LONE: Duration = Duration::from_millis(20);
const TURN: Duration = Duration::from_millis(3);

/// Values of f32 that lie in L1, in L2, in L3 and in none of them, on most machines.
const CACHES: [(&str, usize); 4] =
    [("read GB/s L1", 4 << 10), ("read GB/s L2", 48 << 10), ("read GB/s L3", 2 << 20), ("read GB/s DRAM", 64 << 20)];

#[derive(Args, Clone)]
pub struct Arguments {
    /// Networks; where zoo/models has no weights they come from a seed. The classes of several are summed up at the end
    #[arg(required_unless_present = "all", value_name = "NETWORK")]
    networks: Vec<String>,
    /// Every network
    #[arg(long, conflicts_with = "networks")]
    all: bool,
    /// Measure each distinct layer by itself, with hot caches
    #[arg(long)]
    lone: bool,
    /// Measure bytes, beside f32 and in turns with it: rates and peaks are those of bytes
    #[arg(long)]
    int8: bool,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let kernels = common.kernels()?;
    let chosen = if arguments.all { networks::known().collect() } else { arguments.networks.clone() };
    // Before minutes go by.
    chosen.iter().try_for_each(|name| networks::graph(name).map(|_| ()))?;
    let mut all = Vec::new();
    let mut show = |report: Report| {
        if common.json {
            all.push(report.json());
            return Ok(());
        }
        print(format_args!("{report}\n"))
    };
    let (mut every, mut peaks) = (Vec::new(), Peaks::default());
    for name in &chosen {
        let report = common.with_threads(|parallel| {
            let mut bench = Bench::new(kernels, parallel, arguments.int8)?;
            let mut report = Report::default();
            let lines = if arguments.lone {
                let (graph, _) = simplify(&networks::graph(name)?, Vec::new());
                bench.lone(&graph.layers)?
            } else {
                bench.whole(common, name, &mut report)?
            };
            let report = bench.finish(name, &lines, report);
            every.extend(lines);
            peaks = peaks.max(bench.peaks);
            report
        })?;
        show(report)?;
    }
    if chosen.len() > 1 {
        let mut sum = Report::default();
        sum.tables.push(classes(&every, &peaks));
        sum.fact("networks", Cell::text(chosen.join(" ")));
        sum.fact("level", Cell::text(kernels.level.name()));
        peak_facts(&peaks, &mut sum);
        show(sum)?;
    }
    if common.json { print_json(&all.into()) } else { Ok(()) }
}

struct Bench<'a> {
    kernels: &'static Kernels,
    parallel: &'a dyn Parallel,
    int8: bool,
    peaks: Peaks,
}

impl<'a> Bench<'a> {
    fn new(kernels: &'static Kernels, parallel: &'a dyn Parallel, int8: bool) -> Result<Self> {
        let mut bench = Bench { kernels, parallel, int8, peaks: Peaks::default() };
        bench.measure_peaks()?;
        Ok(bench)
    }

    /// Before and after what is compared with them: the machine may have changed its clock.
    fn measure_peaks(&mut self) -> Result<()> {
        let int8 = self.int8.then(|| peak::dot(self.kernels, self.parallel)).transpose()?;
        self.peaks = self.peaks.max(Peaks { f32: peak::fma(self.kernels, self.parallel)?, int8 });
        Ok(())
    }

    /// A network end to end, then layer by layer inside whole runs: each layer finds the caches as the one before left
    /// them.
    fn whole(&mut self, common: &Common, name: &str, report: &mut Report) -> Result<Vec<Line>> {
        let (kernels, parallel) = (self.kernels, self.parallel);
        let model = &common.model(name)?;
        let mut network = Network::new(model, kernels, parallel.threads())?;
        let input = vec![0.5; network.input_len()];
        let mut quantized = None;
        if self.int8 {
            let model = common.quantized(model, kernels, parallel)?;
            quantized = Some(QuantizedNetwork::new(&model, kernels, parallel.threads())?);
        }
        let bytes = vec![0x80; input.len()];
        network.run(&input, parallel)?;
        let budget = if self.int8 { 2 * WHOLE } else { WHOLE };
        let mut run_bytes = quantized.as_mut().map(|quantized| || quantized.run(&bytes, parallel).map(|_| ()));
        let (total, total_bytes) = Times::measure_in_turns(
            budget,
            Duration::ZERO,
            &mut || network.run(&input, parallel).map(|_| ()),
            run_bytes.as_mut().map(|run| run as _),
        )?;

        let mut samples = vec![(Vec::new(), Vec::new()); network.steps().count()];
        Times::measure(budget, usize::MAX, || {
            let mut start = Instant::now();
            let mut lap = || std::mem::replace(&mut start, Instant::now()).elapsed().as_secs_f64();
            network.run_each(&input, parallel, |i, _| samples[i].0.push(lap()))?;
            if let Some(quantized) = &mut quantized {
                lap();
                quantized.network.run_each(&bytes, parallel, |i, _| samples[i].1.push(lap()))?;
            }
            Ok(())
        })?;
        self.measure_peaks()?;

        self.total_facts(2.0 * model.graph.macs() as f64, &total, total_bytes.as_ref(), report);
        let names: Vec<_> = match &quantized {
            Some(quantized) => quantized.network.kernel_names().collect(),
            None => network.kernel_names().collect(),
        };
        let median = |samples: Vec<f64>| if samples.is_empty() { f64::NAN } else { Times::new(samples).median() };
        let steps = network.steps().zip(samples).zip(names);
        let line = |((step, (f32, int8)), kernels): ((Range<usize>, _), _)| {
            Line::new(&model.graph.layers[step], 1, Seconds { f32: median(f32), int8: median(int8) }, kernels, "")
        };
        Ok(steps.map(line).collect())
    }

    fn total_facts(&self, flops: f64, f32: &Times, bytes: Option<&Times>, report: &mut Report) {
        let times = bytes.unwrap_or(f32);
        let rate = flops / times.median();
        report.fact("ms median", Cell::number(times.median() * 1e3, 3));
        report.fact("ms minimum", Cell::number(times.min() * 1e3, 3));
        if let Some(bytes) = bytes {
            report.fact("f32 ms median", Cell::number(f32.median() * 1e3, 3));
            report.fact("f32 ms minimum", Cell::number(f32.min() * 1e3, 3));
            report.fact("f32/int8 median", Cell::number(f32.median() / bytes.median(), 2));
            report.fact("f32/int8 minimum", Cell::number(f32.min() / bytes.min(), 2));
        }
        report.fact(if self.int8 { "gops" } else { "gflops" }, Cell::number(rate * 1e-9, 1));
        let peak = self.peaks.int8.unwrap_or(self.peaks.f32);
        report.fact("percent of peak", Cell::number(100.0 * rate / peak, 1));
    }

    fn lone(&mut self, layers: &[Layer]) -> Result<Vec<Line>> {
        let lines = lone::distinct(layers).into_iter().map(|distinct| self.lone_layer(&distinct)).collect();
        self.measure_peaks()?;
        lines
    }

    fn lone_layer(&self, lone::Distinct { layer, count }: &lone::Distinct) -> Result<Line> {
        let (shape, threads) = (&layer.shape, self.parallel.threads());
        if shape.is_view() {
            return Ok(Line::absent(layer, *count, "a view: nothing to run by itself"));
        }
        let what = || format!("{} {}", layer.name, shape.describe());
        let mut lone = Lone::new(std::slice::from_ref(layer), self.kernels, threads).with_context(what)?;
        let quantized =
            self.int8.then(|| Lone::quantized(std::slice::from_ref(layer), self.kernels, threads).with_context(what));
        let mut bytes = quantized.transpose()?;
        let names = bytes.as_ref().map_or_else(|| lone.kernel_names(), Lone::kernel_names);
        let mut run_bytes = bytes.as_mut().map(|bytes| || Ok(bytes.run(self.parallel)?));
        let budget = if run_bytes.is_some() { 2 * LONE } else { LONE };
        let (f32, int8) = Times::measure_in_turns(
            budget,
            TURN,
            &mut || Ok(lone.run(self.parallel)?),
            run_bytes.as_mut().map(|run| run as _),
        )?;
        let seconds = Seconds { f32: f32.min(), int8: int8.map_or(f64::NAN, |times| times.min()) };
        Ok(Line::new(std::slice::from_ref(layer), *count, seconds, names, ""))
    }

    fn finish(&self, name: &str, lines: &[Line], mut report: Report) -> Result<Report> {
        report.tables.push(layers(name, lines, &self.peaks));
        report.tables.push(classes(lines, &self.peaks));
        if let Some(fc) = lines.iter().rfind(|line| line.class == Class::FullyConnected) {
            let len = fc.shape.cin * fc.shape.cout;
            let (bytes, seconds) = if self.int8 { (len, fc.seconds.int8) } else { (len * 4, fc.seconds.f32) };
            report.fact("fc weights MB", Cell::number(bytes as f64 * 1e-6, 2));
            report.fact("fc weights GB/s", Cell::number(bytes as f64 / seconds * 1e-9, 1));
            let read = peak::read(self.kernels, bytes.div_ceil(4), self.parallel)?;
            report.fact("read GB/s of as much", Cell::number(read * 1e-9, 1));
        }
        report.fact("network", Cell::text(name));
        report.fact("level", Cell::text(self.kernels.level.name()));
        report.fact("threads", Cell::number(self.parallel.threads() as f64, 0));
        peak_facts(&self.peaks, &mut report);
        for (cache, len) in CACHES {
            let read = peak::read(self.kernels, len, self.parallel)?;
            report.fact(cache, Cell::number(read * 1e-9, 1));
        }
        Ok(report)
    }
}

fn peak_facts(peaks: &Peaks, report: &mut Report) {
    report.fact("peak gflops", Cell::number(peaks.f32 * 1e-9, 1));
    if let Some(int8) = peaks.int8 {
        report.fact("int8 peak gops", Cell::number(int8 * 1e-9, 1));
    }
}

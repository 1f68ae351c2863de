//! `kolibri bench`: networks layer by layer.

mod tables;

use super::{Common, print, print_json};
use anyhow::{Context, Result, bail};
use clap::Args;
use kolibri::{Parallel, kernels::Kernels};
use kolibri_zoo::{
    layer::{Class, Layer},
    lone::{self, Lone},
    model::{Model, directory},
    network::Network,
    peak,
    quantized::{QuantizedModel, QuantizedNetwork},
    report::{Cell, Report},
    timing::Times,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tables::{Line, Peaks, Seconds, classes, layers};

/// Time for the runs of a whole network, and as much again for its layers.
const WHOLE: Duration = Duration::from_secs(1);
/// Time for a lone layer, as much again where bytes are measured, and the time for which one of the two has the caches.
const LONE: Duration = Duration::from_millis(20);
const TURN: Duration = Duration::from_millis(3);

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
    /// Measure bytes, beside f32 and in turns with it: rates and peaks are those of bytes
    #[arg(long)]
    int8: bool,
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
    let (mut every, mut peaks) = (Vec::new(), Peaks::default());
    for name in &chosen {
        let report = common.with_threads(|parallel| {
            let with_weights = models.contains(name);
            let mut bench = Bench::new(kernels, parallel, arguments.int8)?;
            let mut report = Report::default();
            let lines = if with_weights && !arguments.lone {
                bench.whole(&common.models(), name, &mut report)?
            } else if networks.contains(name) {
                bench.lone(&lone::load(&directory("networks"), name)?)?
            } else {
                bench.lone(&Model::load(&common.models(), name)?.layers)?
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
    fn whole(&mut self, models: &Path, name: &str, report: &mut Report) -> Result<Vec<Line>> {
        let model = &Model::load(models, name)?;
        let (kernels, parallel) = (self.kernels, self.parallel);
        let mut network = Network::new(model, kernels, parallel.threads())?;
        let input = vec![0.5; network.input_len()];
        let mut quantized = None;
        if self.int8 {
            let path = QuantizedModel::path(models, &model.name);
            let model = QuantizedModel::load(models, &path, &model.name)?;
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

        let mut samples = vec![(Vec::new(), Vec::new()); model.layers.len()];
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

        self.total_facts(model.flops(), &total, total_bytes.as_ref(), report);
        let names: Vec<_> = match &quantized {
            Some(quantized) => quantized.network.kernel_names().collect(),
            None => network.kernel_names().collect(),
        };
        let median = |samples: Vec<f64>| if samples.is_empty() { f64::NAN } else { Times::new(samples).median() };
        let layers = model.layers.iter().zip(samples).zip(names);
        let line = |((layer, (f32, int8)), kernels): ((&Layer, _), _)| {
            Line::new(layer, 1, Seconds { f32: median(f32), int8: median(int8) }, kernels, "")
        };
        Ok(layers.map(line).collect())
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
        if let Some(why) = shape.absent() {
            return Ok(Line::absent(layer, *count, why));
        }
        let what = || format!("{} {}", layer.name, shape.describe());
        let mut lone = Lone::new(layer, self.kernels, threads).with_context(what)?;
        let mut note = shape.left_out().unwrap_or("");
        let mut bytes = None;
        if self.int8 {
            match shape.absent_in_bytes() {
                Some(why) => note = why,
                None => bytes = Some(Lone::quantized(layer, self.kernels, threads).with_context(what)?),
            }
        }
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
        Ok(Line::new(layer, *count, seconds, names, note))
    }

    fn finish(&self, name: &str, lines: &[Line], mut report: Report) -> Result<Report> {
        report.tables.push(layers(name, lines, &self.peaks));
        report.tables.push(classes(lines, &self.peaks));
        if let Some(fc) = lines.iter().rfind(|line| line.shape.class() == Class::FullyConnected) {
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
        Ok(report)
    }
}

fn peak_facts(peaks: &Peaks, report: &mut Report) {
    report.fact("peak gflops", Cell::number(peaks.f32 * 1e-9, 1));
    if let Some(int8) = peaks.int8 {
        report.fact("int8 peak gops", Cell::number(int8 * 1e-9, 1));
    }
}

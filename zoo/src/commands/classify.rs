//! `kolibri classify`: what photos show, in f32 and in bytes.

use super::{Common, print, print_json};
use anyhow::{Context, Result};
use clap::Args;
use kolibri::{Parallel, kernels::Kernels};
use kolibri_zoo::{
    model::{self, Model},
    network::Network,
    peak,
    photo::{self, Guess},
    quantized::{QuantizedModel, QuantizedNetwork},
    report::{Cell, Report, Table},
    timing::Times,
};
use std::{path::PathBuf, time::Duration};

/// Time for the runs to take the medians of, f32 and bytes in turns.
const BUDGET: Duration = Duration::from_millis(400);

#[derive(Args, Clone)]
pub struct Arguments {
    /// Network, one of those in zoo/models
    #[arg(long, default_value = "efficientnet_lite0")]
    network: String,
    /// The network in bytes, as `kolibri quantize` writes it. Without it the one in zoo/models
    #[arg(long, value_name = "FILE")]
    int8: Option<PathBuf>,
    /// A photo, PNG or JPEG; may be repeated. Without it all of zoo/photos
    #[arg(long, value_name = "FILE")]
    photo: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let kernels = common.kernels()?;
    let model = Model::load(&common.models(), &arguments.network)?;
    let path = arguments.int8.clone().unwrap_or_else(|| QuantizedModel::path(&common.models(), &arguments.network));
    let quantized = QuantizedModel::load(&common.models(), &path, &arguments.network)?;
    let labels = model::labels(&common.models())?;
    let paths = common.photos(&arguments.photo)?;
    let report = common.with_threads(|parallel| {
        let mut both = Both::new(&model, &quantized, kernels, parallel)?;
        let mut report = Report::default();
        for path in &paths {
            both.see(&photo::centre(&photo::open(path)?, &model.preprocess));
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            report.tables.push(both.answers(&file, &labels)?);
        }
        both.measure(&mut report)?;
        Ok(report)
    })?;
    if common.json { print_json(&report.json()) } else { print(report) }
}

/// The network in f32 and in bytes, and an image for each.
struct Both<'a> {
    model: &'a Model,
    quantized: &'a QuantizedModel,
    kernels: &'static Kernels,
    parallel: &'a dyn Parallel,
    f32: Network,
    int8: QuantizedNetwork,
    input: Vec<f32>,
    bytes: Vec<u8>,
}

impl<'a> Both<'a> {
    fn new(
        model: &'a Model,
        quantized: &'a QuantizedModel,
        kernels: &'static Kernels,
        parallel: &'a dyn Parallel,
    ) -> Result<Self> {
        let f32 = Network::new(model, kernels, parallel.threads())?;
        let int8 = QuantizedNetwork::new(quantized, kernels, parallel.threads())?;
        Ok(Both { model, quantized, kernels, parallel, f32, int8, input: Vec::new(), bytes: Vec::new() })
    }

    fn see(&mut self, pixels: &[u8]) {
        self.input = photo::normalise(pixels, &self.model.preprocess);
        self.bytes = photo::quantise(pixels, &self.model.preprocess, self.quantized.input());
    }

    fn answers(&mut self, file: &str, labels: &[String]) -> Result<Table> {
        let columns = &["class", "probability", "name", "int8 class", "int8 probability", "int8 name"];
        let mut table = Table::new(file, columns);
        let f32 = photo::top5(self.f32.run(&self.input, self.parallel)?)?;
        let int8 = photo::top5(self.int8.run(&self.bytes, self.parallel)?)?;
        let cells = |guess: &Guess| -> Result<[Cell; 3]> {
            let name = labels.get(guess.class).context("imagenet_labels.txt: fewer names than classes")?;
            let probability = Cell::number(f64::from(guess.probability), 3);
            Ok([Cell::number(guess.class as f64, 0), probability, Cell::text(name)])
        };
        for (f32, int8) in f32.iter().zip(&int8) {
            table.row([cells(f32)?, cells(int8)?].concat());
        }
        Ok(table)
    }

    fn measure(&mut self, report: &mut Report) -> Result<()> {
        let Both { model, quantized, kernels, parallel, f32, int8, input, bytes } = self;
        let (kernels, parallel) = (*kernels, *parallel);
        let (f32, int8) = Times::measure_in_turns(
            BUDGET,
            Duration::ZERO,
            &mut || f32.run(input, parallel).map(|_| ()),
            Some(&mut || int8.run(bytes, parallel).map(|_| ())),
        )?;
        let int8 = int8.context("bytes were measured")?;
        let (peak, int8_peak) = (peak::fma(kernels, parallel)?, peak::dot(kernels, parallel)?);
        let [rate, int8_rate] = [&f32, &int8].map(|times| 2.0 * model.graph.macs() as f64 / times.median());
        report.fact("network", Cell::text(&model.graph.name));
        report.fact("level", Cell::text(kernels.level.name()));
        report.fact("threads", Cell::number(parallel.threads() as f64, 0));
        report.fact("parameters MB", Cell::number(model.parameter_bytes() as f64 * 1e-6, 2));
        report.fact("int8 parameters MB", Cell::number(quantized.parameter_bytes() as f64 * 1e-6, 2));
        report.fact("ms per image", Cell::number(f32.median() * 1e3, 2));
        report.fact("int8 ms per image", Cell::number(int8.median() * 1e3, 2));
        report.fact("f32/int8", Cell::number(f32.median() / int8.median(), 2));
        report.fact("gflops", Cell::number(rate * 1e-9, 1));
        report.fact("peak gflops", Cell::number(peak * 1e-9, 1));
        report.fact("percent of peak", Cell::number(100.0 * rate / peak, 1));
        report.fact("int8 gops", Cell::number(int8_rate * 1e-9, 1));
        report.fact("int8 peak gops", Cell::number(int8_peak * 1e-9, 1));
        report.fact("int8 percent of peak", Cell::number(100.0 * int8_rate / int8_peak, 1));
        Ok(())
    }
}

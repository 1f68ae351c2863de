//! `kolibri quantize`: from f32 to bytes.

use super::{Common, print, print_json};
use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kolibri_zoo::{
    calibrate::{self, Ranges},
    compare::{Comparison, compare},
    model::Model,
    photo,
    quantize::quantize,
    quantized::QuantizedModel,
    report::{Cell, Report, Table},
};
use std::{fs, path::PathBuf};

#[derive(Args, Clone)]
pub struct Arguments {
    /// Network, one of those in zoo/models
    network: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the ranges of activations are chosen
    #[arg(long, value_enum, default_value_t)]
    ranges: Ranges,
    /// A photo to calibrate and compare with; may be repeated. Without it all of zoo/photos
    #[arg(long, value_name = "FILE")]
    photo: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let kernels = common.kernels()?;
    let model = Model::load(&common.models(), &arguments.network)?;
    let paths = common.photos(&arguments.photo)?;
    let photos = paths.iter().map(|path| photo::open(path)).collect::<Result<Vec<_>>>()?;
    let images: Vec<_> = photos.iter().map(|photo| photo::centre(photo, &model.preprocess)).collect();
    let inputs = calibrate::crops(&photos, &model.preprocess);

    let bar = ProgressBar::new(2 * inputs.len() as u64)
        .with_style(ProgressStyle::with_template("calibrating {bar:40} {pos}/{len} runs, {eta} left")?);
    let (quantized, comparison) = common.with_threads(|parallel| {
        let observed = calibrate::observe(&model, &inputs, kernels, parallel, || bar.inc(1))?;
        bar.finish_and_clear();
        let quantized = quantize(&model, &observed, arguments.ranges);
        let comparison = compare(&model, &quantized, &images, kernels, parallel)?;
        Ok((quantized, comparison))
    })?;
    let file = quantized.to_bytes()?;
    fs::write(&arguments.out, &file).with_context(|| format!("{}", arguments.out.display()))?;

    let mut report = Report::default();
    report.tables.push(layers(&quantized, &comparison));
    report.tables.push(photos_table(&paths, &comparison));
    let (mean, least) = comparison.cosines();
    report.fact("network", Cell::text(&model.graph.name));
    report.fact("ranges", Cell::text(arguments.ranges.to_string()));
    report.fact("f32 bytes", Cell::number(model.parameter_bytes() as f64, 0));
    report.fact("int8 bytes", Cell::number(file.len() as f64, 0));
    report.fact("percent of f32", Cell::number(100.0 * file.len() as f64 / model.parameter_bytes() as f64, 1));
    report.fact("photos", Cell::number(images.len() as f64, 0));
    report.fact("top-1 equal", Cell::number(comparison.top1_equal() as f64, 0));
    report.fact("mean cosine", Cell::number(mean, 4));
    report.fact("least cosine", Cell::number(least, 4));
    report.fact("level", Cell::text(kernels.level.name()));
    report.fact("file", Cell::text(arguments.out.display().to_string()));
    if common.json { print_json(&report.json()) } else { print(report) }
}

fn layers(quantized: &QuantizedModel, comparison: &Comparison) -> Table {
    let columns = &["layer", "op", "shape", "snr dB", "output scale", "zero point"];
    let mut table = Table::new("layers, signal to noise of their outputs", columns);
    for (i, (layer, &snr)) in quantized.graph.layers.iter().zip(&comparison.snr).enumerate() {
        let output = quantized.output(i);
        table.row([
            Cell::text(&layer.name),
            Cell::text(layer.shape.op_name()),
            Cell::text(layer.shape.describe()),
            Cell::number(snr, 1),
            Cell::number(output.scale.into(), 6),
            Cell::number(output.zero_point.into(), 0),
        ]);
    }
    table
}

fn photos_table(paths: &[PathBuf], comparison: &Comparison) -> Table {
    let columns = &["photo", "class", "int8 class", "cosine of logits"];
    let mut table = Table::new("photos, likeliest classes", columns);
    for (path, answers) in paths.iter().zip(&comparison.answers) {
        let class = |guesses: &[photo::Guess]| guesses.first().map_or(Cell::Empty, |g| Cell::number(g.class as f64, 0));
        table.row([
            Cell::text(path.file_name().unwrap_or_default().to_string_lossy()),
            class(&answers.f32),
            class(&answers.int8),
            Cell::number(answers.cosine, 4),
        ]);
    }
    table
}

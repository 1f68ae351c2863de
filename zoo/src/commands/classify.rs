//! `kolibri classify`: what photos show.

use super::{Common, print, print_json};
use anyhow::{Context, Result, ensure};
use clap::Args;
use kolibri_zoo::{
    model::{self, Model, directory},
    network::Network,
    peak, photo,
    report::{Cell, Report, Table},
    timing::Times,
};
use std::{fs, path::PathBuf, time::Duration};

/// Runs to take the median of, and the time that they may take together.
const RUNS: usize = 10;
const BUDGET: Duration = Duration::from_millis(500);

#[derive(Args, Clone)]
pub struct Arguments {
    /// Network, one of those in zoo/models
    #[arg(long, default_value = "efficientnet_lite0")]
    network: String,
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
    let labels = model::labels(&common.models())?;
    let photos = if arguments.photo.is_empty() { all_photos()? } else { arguments.photo.clone() };
    let mut network = Network::new(&model, kernels, common.threads())?;

    let report = common.with_threads(|parallel| {
        let mut report = Report::default();
        let mut input = Vec::new();
        for path in &photos {
            input = photo::normalise(&photo::read(path, &model.preprocess)?, &model.preprocess);
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let mut table = Table::new(file, &["class", "probability", "name"]);
            for guess in photo::top5(network.run(&input, parallel)?)? {
                let name = labels.get(guess.class).context("imagenet_labels.txt: fewer names than classes")?;
                let probability = Cell::number(f64::from(guess.probability), 3);
                table.row([Cell::number(guess.class as f64, 0), probability, Cell::text(name)]);
            }
            report.tables.push(table);
        }
        let times = Times::measure(BUDGET, RUNS, || network.run(&input, parallel).map(|_| ()))?;
        let rate = model.flops() / times.median();
        let peak = peak::fma(kernels, parallel)?;
        report.fact("network", Cell::text(&model.name));
        report.fact("level", Cell::text(kernels.level.name()));
        report.fact("threads", Cell::number(parallel.threads() as f64, 0));
        report.fact("ms per image", Cell::number(times.median() * 1e3, 2));
        report.fact("gflops", Cell::number(rate * 1e-9, 1));
        report.fact("peak gflops", Cell::number(peak * 1e-9, 1));
        report.fact("percent of peak", Cell::number(100.0 * rate / peak, 1));
        Ok(report)
    })?;
    if common.json { print_json(&report.json()) } else { print(report) }
}

fn all_photos() -> Result<Vec<PathBuf>> {
    let directory = directory("photos");
    let entries = fs::read_dir(&directory).with_context(|| format!("{}", directory.display()))?;
    let is_photo = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "png" || extension == "jpg");
    let mut photos: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_photo).collect();
    photos.sort();
    ensure!(!photos.is_empty(), "{}: no photos", directory.display());
    Ok(photos)
}

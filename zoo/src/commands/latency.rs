//! `kolibri latency`: tables of layers' times, and networks predicted from them.

use super::{Common, print, print_json};
use anyhow::Result;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kolibri::{Element, Parallel, kernels::Kernels};
use kolibri_zoo::{
    graph::Graph,
    latency::{Dtype, Key, Seconds, Step, Table, measure, steps},
    network::Network,
    networks,
    quantized::QuantizedNetwork,
    report::{Cell, Report, Table as TextTable},
    simplify::simplify,
    timing::Times,
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// New entries after which the file is written: what an interrupted run loses at most.
const SAVE_EVERY: usize = 8;
/// Time for the runs of a whole network in each of f32 and bytes.
const WHOLE: Duration = Duration::from_secs(1);

#[derive(Args, Clone)]
#[group(id = "mode", required = true, multiple = false, args = ["out", "predict"])]
pub struct Arguments {
    /// Networks; without any, all
    #[arg(value_name = "NETWORK")]
    networks: Vec<String>,
    /// Measure each distinct layer of the networks that FILE has no time of yet, and add it to FILE
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Predict the networks from the times in FILE, and measure them
    #[arg(long, value_name = "FILE")]
    predict: Option<PathBuf>,
    /// One of f32 and int8; without it both
    #[arg(long)]
    dtype: Option<Dtype>,
    #[command(flatten)]
    common: Common,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let kernels = common.kernels()?;
    let chosen = if arguments.networks.is_empty() { networks::known().collect() } else { arguments.networks.clone() };
    let graph = |name: &String| Ok(simplify(&networks::graph(name)?, Vec::new()).0);
    let graphs = chosen.iter().map(graph).collect::<Result<Vec<Graph>>>()?;
    let mut report = Report::default();
    common.with_threads(|parallel| {
        let run = Run { arguments, kernels, parallel };
        match (&arguments.out, &arguments.predict) {
            (Some(path), _) => run.measure(path, &graphs, &mut report),
            (None, path) => run.predict(path.as_deref().unwrap_or(Path::new("")), &graphs, &mut report),
        }
    })?;
    report.fact("level", Cell::text(kernels.level.name()));
    report.fact("threads", Cell::number(common.threads() as f64, 0));
    if common.json { print_json(&report.json()) } else { print(report) }
}

struct Run<'a> {
    arguments: &'a Arguments,
    kernels: &'static Kernels,
    parallel: &'a dyn Parallel,
}

impl Run<'_> {
    fn dtypes(&self) -> impl Iterator<Item = Dtype> {
        let only = self.arguments.dtype;
        Dtype::ALL.into_iter().filter(move |&dtype| only.is_none_or(|only| only == dtype))
    }

    fn measure(&self, path: &Path, graphs: &[Graph], report: &mut Report) -> Result<()> {
        let mut table = Table::open(path)?;
        let before = table.len();
        let mut missing: Vec<(Step, Key)> = Vec::new();
        for step in graphs.iter().flat_map(steps) {
            for dtype in self.dtypes() {
                let key = Key::new(&step, dtype, self.kernels, self.parallel.threads());
                if table.get(&key).is_none() && missing.iter().all(|(_, other)| *other != key) {
                    missing.push((step.clone(), key));
                }
            }
        }
        let bar = ProgressBar::new(missing.len() as u64)
            .with_style(ProgressStyle::with_template("measuring {bar:40} {pos}/{len} steps, {eta} left")?);
        // A file that cannot be written is found before minutes go by.
        table.save()?;
        for batch in missing.chunks(SAVE_EVERY) {
            for (step, key) in batch {
                table.push(key.clone(), measure(step, key.dtype(), self.kernels, self.parallel)?);
                bar.inc(1);
            }
            table.save()?;
        }
        bar.finish_and_clear();
        report.fact("file", Cell::text(path.display().to_string()));
        report.fact("entries", Cell::number(table.len() as f64, 0));
        report.fact("measured", Cell::number((table.len() - before) as f64, 0));
        Ok(())
    }

    fn predict(&self, path: &Path, graphs: &[Graph], report: &mut Report) -> Result<()> {
        let table = Table::open(path)?;
        let columns = &[
            "network",
            "values",
            "ms predicted",
            "ms measured",
            "ratio",
            "minimum predicted",
            "minimum measured",
            "ratio of minimums",
        ];
        let mut text = TextTable::new("networks, medians and minimums", columns);
        let mut predictions = Vec::new();
        for graph in graphs {
            let steps = steps(graph);
            for dtype in self.dtypes() {
                predictions.push((graph, dtype, table.predict(&steps, dtype, self.kernels, self.parallel.threads())?));
            }
        }
        for (graph, dtype, predicted) in predictions {
            let measured = self.whole(graph, dtype)?;
            let ms = |seconds: f64| Cell::number(seconds * 1e3, 3);
            text.row([
                Cell::text(&graph.name),
                Cell::text(dtype.name()),
                ms(predicted.median),
                ms(measured.median),
                Cell::number(predicted.median / measured.median, 3),
                ms(predicted.min),
                ms(measured.min),
                Cell::number(predicted.min / measured.min, 3),
            ]);
        }
        report.tables.push(text);
        Ok(())
    }

    fn whole(&self, graph: &Graph, dtype: Dtype) -> Result<Seconds> {
        let Run { arguments: Arguments { common, .. }, kernels, parallel } = *self;
        let model = common.model(&graph.name)?;
        match dtype {
            Dtype::F32 => time(&mut Network::new(&model, kernels, parallel.threads())?, 0.5, parallel),
            Dtype::Int8 => {
                let model = common.quantized(&model, kernels, parallel)?;
                time(&mut QuantizedNetwork::new(&model, kernels, parallel.threads())?.network, 0x80, parallel)
            }
        }
    }
}

fn time<T: Element + Default>(network: &mut Network<T>, value: T, parallel: &dyn Parallel) -> Result<Seconds> {
    let input = vec![value; network.input_len()];
    network.run(&input, parallel)?;
    let times = Times::measure(WHOLE, usize::MAX, || network.run(&input, parallel).map(|_| ()))?;
    Ok(Seconds::from(&times))
}

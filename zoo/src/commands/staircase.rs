//! `kolibri staircase`: time over channels, which should rise evenly instead of in the steps of full registers.

use super::{kernels, print, print_json};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kolibri::{Serial, kernels::Kernels};
use kolibri_zoo::{
    graph::{Builder, Rule, Value},
    latency::Dtype,
    layer::{Act, Layer},
    lone::Lone,
    report::{Cell, Report, Table},
};
use plotters::{coord::Shift, prelude::*};
use std::{fs, num::NonZeroUsize, path::PathBuf, time::Instant};

/// The most channels.
const CHANNELS: usize = 256;
/// Height and width of the image.
const SIDE: usize = 14;
/// Runs one after the other, the first of which finds the caches as another operator left them.
const RUNS: usize = 4;
/// Width and height of the picture.
const SIZE: (u32, u32) = (960, 420);

#[derive(Args, Clone)]
pub struct Arguments {
    /// The picture to write, an SVG
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How often every number of channels is measured; the shortest time counts
    #[arg(long, default_value = "60")]
    rounds: NonZeroUsize,
    /// Level of the kernels; without it the best of this CPU, which KOLIBRI_ISA can narrow
    #[arg(long)]
    level: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

type Failure<B> = DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>;

/// Times of an operator by its channels, from 1 on.
struct Curve {
    op: &'static str,
    dtype: Dtype,
    seconds: Vec<f64>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let kernels = kernels(arguments.level.as_deref())?;
    let curves = measure(kernels, arguments.rounds.get())?;
    if let Some(path) = &arguments.out {
        fs::write(path, plot(&curves)?).with_context(|| format!("{}", path.display()))?;
    }
    let mut report = Report::default();
    let columns = &["operator", "values", "worst ratio", "channels", "us", "us of one more"];
    let mut table = Table::new(format!("time of C channels over that of C + 1, {SIDE}x{SIDE}xC -> C"), columns);
    for Curve { op, dtype, seconds } in &curves {
        let ratio = |c: &usize| seconds[c - 1] / seconds[*c];
        let worst = (1..CHANNELS).max_by(|a, b| ratio(a).total_cmp(&ratio(b))).context("there are channels")?;
        table.row([
            Cell::text(*op),
            Cell::text(dtype.name()),
            Cell::number(ratio(&worst), 3),
            Cell::number(worst as f64, 0),
            Cell::number(seconds[worst - 1] * 1e6, 2),
            Cell::number(seconds[worst] * 1e6, 2),
        ]);
    }
    report.tables.push(table);
    report.fact("level", Cell::text(kernels.level.name()));
    report.fact("rounds", Cell::number(arguments.rounds.get() as f64, 0));
    if arguments.json { print_json(&report.json()) } else { print(report) }
}

/// All channels of all curves take turns, round after round: what disturbs the machine for a while disturbs them alike,
/// and each has all rounds to be undisturbed once.
fn measure(kernels: &'static Kernels, rounds: usize) -> Result<Vec<Curve>> {
    type Run = Box<dyn FnMut() -> Result<(), kolibri::Error>>;
    let operators = [("pointwise", pointwise as fn(usize) -> Layer), ("depthwise 3x3", depthwise)];
    let mut curves = Vec::new();
    let mut runs: Vec<Vec<Run>> = Vec::new();
    for (op, layer) in operators {
        for dtype in Dtype::ALL {
            let run = |c: usize| -> Result<Run> {
                Ok(match dtype {
                    Dtype::F32 => {
                        let mut lone = Lone::new(&[layer(c)], kernels, 1)?;
                        Box::new(move || lone.run(&Serial))
                    }
                    Dtype::Int8 => {
                        let mut lone = Lone::quantized(&[layer(c)], kernels, 1)?;
                        Box::new(move || lone.run(&Serial))
                    }
                })
            };
            curves.push(Curve { op, dtype, seconds: vec![f64::INFINITY; CHANNELS] });
            runs.push((1..=CHANNELS).map(run).collect::<Result<_>>()?);
        }
    }
    let bar = ProgressBar::new(rounds as u64)
        .with_style(ProgressStyle::with_template("measuring {bar:40} {pos}/{len} rounds, {eta} left")?);
    for _ in 0..rounds {
        for (curve, runs) in curves.iter_mut().zip(&mut runs) {
            for (seconds, run) in curve.seconds.iter_mut().zip(runs) {
                for _ in 0..RUNS {
                    let start = Instant::now();
                    run()?;
                    *seconds = seconds.min(start.elapsed().as_secs_f64());
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(curves)
}

fn pointwise(c: usize) -> Layer {
    layer(c, |builder, x| builder.pwconv("pointwise", x, c, Act::Relu))
}

fn depthwise(c: usize) -> Layer {
    layer(c, |builder, x| builder.dwconv("depthwise", x, 3, 1, Act::Relu))
}

fn layer(c: usize, make: impl FnOnce(&mut Builder, Value) -> Value) -> Layer {
    let (mut builder, mut x) = Builder::new("staircase", SIDE, Rule::Symmetric);
    x.c = c;
    make(&mut builder, x);
    builder.finish().layers.remove(0)
}

/// The curves of each operator side by side. Texts are elements of the picture: no font is needed to make it.
fn plot(curves: &[Curve]) -> Result<String> {
    let mut svg = String::new();
    draw(curves, &SVGBackend::with_string(&mut svg, SIZE).into_drawing_area()).map_err(|error| anyhow!("{error}"))?;
    Ok(svg)
}

fn draw<B: DrawingBackend>(curves: &[Curve], area: &DrawingArea<B, Shift>) -> Result<(), Failure<B>> {
    area.fill(&WHITE)?;
    let operators: Vec<_> = curves.chunk_by(|a, b| a.op == b.op).collect();
    for (curves, area) in operators.iter().zip(area.split_evenly((1, operators.len()))) {
        let us = |curve: &Curve| curve.seconds.iter().map(|seconds| seconds * 1e6).collect::<Vec<_>>();
        let most = curves.iter().flat_map(us).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{}, {SIDE}x{SIDE}, C channels", curves[0].op), ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d(0..CHANNELS, 0.0..most * 1.05)?;
        chart.configure_mesh().x_desc("C").y_desc("us").x_labels(9).max_light_lines(1).draw()?;
        for (curve, color) in curves.iter().zip([BLUE, RED]) {
            let points = us(curve).into_iter().enumerate().map(|(i, us)| (i + 1, us));
            let line = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color);
            chart.draw_series(LineSeries::new(points, color))?.label(curve.dtype.name()).legend(line);
        }
        chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(BLACK).draw()?;
    }
    area.present()
}

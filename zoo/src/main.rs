//! `kolibri`: classify photos, list kernels, measure, predict and quantise networks.

mod commands;

use clap::{Parser, Subcommand};
use commands::{bench, classify, cost, export, kernels, latency, quantize, staircase};
use std::process::ExitCode;

/// Light-weight convolutional networks on kolibri's kernels. Without a subcommand: classify the photos of zoo/photos.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    classify: classify::Arguments,
}

#[derive(Subcommand)]
enum Command {
    /// Say what photos show.
    Classify(classify::Arguments),
    /// List the kernels of every level, or print one.
    Kernels(kernels::Arguments),
    /// Count a network's operations, parameters and memory.
    Cost(cost::Arguments),
    /// Measure a network layer by layer.
    Bench(bench::Arguments),
    /// Measure every distinct layer of networks into a file, or predict networks from it.
    Latency(latency::Arguments),
    /// Turn a network into one in bytes.
    Quantize(quantize::Arguments),
    /// Write networks for other engines: graph, weights, input.
    Export(export::Arguments),
    /// Measure time over channels, and plot it.
    Staircase(staircase::Arguments),
}

fn main() -> ExitCode {
    let arguments = Cli::parse();
    let result = match &arguments.command {
        None => classify::run(&arguments.classify),
        Some(Command::Classify(arguments)) => classify::run(arguments),
        Some(Command::Kernels(arguments)) => kernels::run(arguments),
        Some(Command::Cost(arguments)) => cost::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Latency(arguments)) => latency::run(arguments),
        Some(Command::Quantize(arguments)) => quantize::run(arguments),
        Some(Command::Export(arguments)) => export::run(arguments),
        Some(Command::Staircase(arguments)) => staircase::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the parts say.
            eprintln!("kolibri: {}", format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "));
            ExitCode::from(2)
        }
    }
}

//! `kolibri`: classify photos, list kernels, measure and quantise networks.

mod commands;

use clap::{Parser, Subcommand};
use commands::{bench, classify, kernels, quantize};
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
    /// Measure a network layer by layer.
    Bench(bench::Arguments),
    /// Turn a network into one in bytes.
    Quantize(quantize::Arguments),
}

fn main() -> ExitCode {
    let arguments = Cli::parse();
    let result = match &arguments.command {
        None => classify::run(&arguments.classify),
        Some(Command::Classify(arguments)) => classify::run(arguments),
        Some(Command::Kernels(arguments)) => kernels::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Quantize(arguments)) => quantize::run(arguments),
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

//! `peer ENGINE DIR DTYPE THREADS`: one engine, ready to run one network whenever it is told to.
//!
//! It answers with a line of JSON that has the logits; then each line of its input, a number of inferences, with a line
//! that lists their times in nanoseconds. So a driver can let engines take turns on the same machine.

mod candle;
mod kolibri;
mod rten;
mod task;
mod tract;

use anyhow::{Context, Result, bail};
use serde_json::json;
use std::{
    env,
    hint::black_box,
    io::{self, Write},
    panic,
    path::Path,
    process::{ExitCode, exit},
    time::Instant,
};
use task::{Dtype, Task};

/// A network that an engine has loaded.
trait Engine {
    /// From the image in memory to the logits.
    fn run(&mut self) -> Result<Vec<f32>>;
}

/// Loads a network.
type Load = fn(&Task) -> Result<Box<dyn Engine>>;

/// Engines, the crates whose versions are theirs, and how they load.
const ENGINES: &[(&str, &str, Load)] = &[
    ("kolibri", "kolibri", kolibri::load),
    ("tract", "tract-onnx", tract::load),
    ("rten", "rten", rten::load),
    ("candle", "candle-core", candle::load),
];

fn main() -> ExitCode {
    // Engines panic at what they do not know, some of them on threads of their own.
    panic::set_hook(Box::new(|info| {
        complain(&info.to_string());
        exit(1);
    }));
    let Err(error) = work() else { return ExitCode::SUCCESS };
    complain(&format!("{error:#}"));
    ExitCode::FAILURE
}

/// One line, whatever the error consists of.
fn complain(error: &str) {
    let lines: Vec<_> = error.lines().map(str::trim).collect();
    eprintln!("{}", lines.join(" "));
}

fn work() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [name, directory, dtype, threads] = &arguments[..] else { bail!("usage: peer ENGINE DIR DTYPE THREADS") };
    let known = || ENGINES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" ");
    let engine = ENGINES.iter().find(|(known, ..)| known == name);
    let (_, package, load) = engine.with_context(|| format!("unknown engine '{name}', known are {}", known()))?;
    let task = Task {
        directory: Path::new(directory).to_owned(),
        dtype: Dtype::named(dtype)?,
        threads: threads.parse().context("THREADS")?,
    };
    serve(name, version(package)?, || load(&task)).with_context(|| name.clone())
}

fn serve(name: &str, version: &str, load: impl FnOnce() -> Result<Box<dyn Engine>>) -> Result<()> {
    let mut engine = load()?;
    let mut out = io::stdout().lock();
    let answer = engine.run()?;
    writeln!(out, "{}", json!({ "engine": name, "version": version, "answer": answer }))?;
    for line in io::stdin().lines() {
        let line = line?;
        let runs: usize = line.trim().parse().with_context(|| format!("expected a number of runs, got '{line}'"))?;
        let times = (0..runs).map(|_| {
            let start = Instant::now();
            black_box(engine.run()?);
            Ok(u64::try_from(start.elapsed().as_nanos())?)
        });
        writeln!(out, "{}", json!(times.collect::<Result<Vec<_>>>()?))?;
    }
    Ok(())
}

/// Of a package, as the lock file has it.
fn version(package: &str) -> Result<&'static str> {
    let entry = format!("name = \"{package}\"\nversion = \"");
    let found = include_str!("../Cargo.lock").split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
    Ok(found.with_context(|| format!("no package {package} in Cargo.lock"))?.0)
}

//! The subcommands, and the options that they share.

pub mod bench;
pub mod classify;
pub mod kernels;
pub mod quantize;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use kolibri::{Level, Parallel, Rayon, Serial, kernels::Kernels};
use kolibri_zoo::{model::directory, photo};
use serde_json::Value;
use std::{
    io::{ErrorKind, Write},
    num::NonZeroUsize,
    path::PathBuf,
};

/// Where networks are, and what they run on.
#[derive(Args, Clone)]
pub struct Common {
    /// Level of the kernels; without it the best of this CPU, which KOLIBRI_ISA can narrow
    #[arg(long)]
    level: Option<String>,
    /// Threads
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Directory of the networks with weights; without it zoo/models
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// The kernels of the level asked for.
    pub fn kernels(&self) -> Result<&'static Kernels> {
        // Even where a level is named: a misspelt KOLIBRI_ISA must not pass in silence.
        let selected = Level::selected()?;
        let Some(name) = &self.level else { return Ok(selected) };
        let names = |levels: &mut dyn Iterator<Item = Level>| levels.map(Level::name).collect::<Vec<_>>().join(" ");
        let Some(level) = Level::from_name(name) else {
            bail!("unknown level '{name}', known are {}", names(&mut Level::ALL.iter().copied()));
        };
        let missing = || anyhow!("this CPU lacks level '{name}', it has {}", names(&mut Level::available()));
        level.kernels().ok_or_else(missing)
    }

    pub fn models(&self) -> PathBuf {
        self.models.clone().unwrap_or_else(|| directory("models"))
    }

    /// The photos asked for, or all there are.
    pub fn photos(&self, chosen: &[PathBuf]) -> Result<Vec<PathBuf>> {
        if chosen.is_empty() { photo::all(&directory("photos")) } else { Ok(chosen.to_vec()) }
    }

    pub fn threads(&self) -> usize {
        self.threads.get()
    }

    /// Calls `f` with as many threads as asked for.
    pub fn with_threads<T: Send>(&self, f: impl FnOnce(&dyn Parallel) -> Result<T> + Send) -> Result<T> {
        if self.threads() == 1 {
            return f(&Serial);
        }
        rayon::ThreadPoolBuilder::new().num_threads(self.threads()).build()?.install(|| f(&Rayon))
    }
}

/// Prints; a reader that has seen enough, such as `head`, is no error.
pub fn print(text: impl std::fmt::Display) -> Result<()> {
    match write!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints JSON.
pub fn print_json(value: &Value) -> Result<()> {
    print(format_args!("{value:#}\n"))
}

//! The subcommands, and the options that they share.

pub mod bench;
pub mod classify;
pub mod cost;
pub mod export;
pub mod kernels;
pub mod latency;
pub mod quantize;
pub mod staircase;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use kolibri::{Level, Parallel, Rayon, Serial, kernels::Kernels};
use kolibri_zoo::{
    calibrate::{Ranges, observe},
    model::{Model, Published, directory},
    networks, photo,
    quantize::quantize,
    quantized::QuantizedModel,
    random::Random,
};
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
        kernels(self.level.as_deref())
    }

    /// A network with its weights or, where there are none, with those of a seed.
    pub fn model(&self, name: &str) -> Result<Model> {
        Ok(self.published(name)?.into_model())
    }

    /// The same as its paper has it.
    pub fn published(&self, name: &str) -> Result<Published> {
        if self.has_weights(name)? {
            Published::load(&self.models(), name)
        } else {
            Ok(Published::seeded(networks::graph(name)?))
        }
    }

    /// The same in bytes.
    pub fn quantized(
        &self,
        model: &Model,
        kernels: &'static Kernels,
        parallel: &dyn Parallel,
    ) -> Result<QuantizedModel> {
        let name = &model.graph.name;
        if self.has_weights(name)? {
            return QuantizedModel::load(&self.models(), &QuantizedModel::path(&self.models(), name), name);
        }
        let inputs = [Random::default().values(model.graph.input.iter().product())];
        Ok(quantize(model, &observe(model, &inputs, kernels, parallel, || {})?, Ranges::MinMax))
    }

    fn has_weights(&self, name: &str) -> Result<bool> {
        Ok(Model::known(&self.models())?.iter().any(|known| known == name))
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
        rayon::ThreadPoolBuilder::new().num_threads(self.threads()).build()?.install(|| Rayon::hold(f))
    }
}

/// The kernels of a level; without one those of the best.
pub fn kernels(level: Option<&str>) -> Result<&'static Kernels> {
    // Even where a level is named: a misspelt KOLIBRI_ISA must not pass in silence.
    let selected = Level::selected()?;
    let Some(name) = level else { return Ok(selected) };
    let names = |levels: &mut dyn Iterator<Item = Level>| levels.map(Level::name).collect::<Vec<_>>().join(" ");
    let Some(level) = Level::from_name(name) else {
        bail!("unknown level '{name}', known are {}", names(&mut Level::ALL.iter().copied()));
    };
    let missing = || anyhow!("this CPU lacks level '{name}', it has {}", names(&mut Level::available()));
    level.kernels().ok_or_else(missing)
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

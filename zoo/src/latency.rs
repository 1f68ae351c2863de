//! Latency tables: the times of layers by themselves, from which those of networks are predicted.
//!
//! Times of layers run again and again do not add up to a network's: they find in the caches what a network read a
//! whole run before. On MobileNetV1 and V2, ShuffleNetV2 and EfficientNet-Lite0 (Zen 4, a MB of L2 to a core, an L3
//! of 32 MB that others used too) their sum was 7 to 9 % below that of the layers inside the network in f32,
//! classifiers three to four times too fast; in bytes, whose weights are a quarter, it was right within 2 %. So
//! before each timed run as much memory is read as passes through the caches in between, [`OTHERS`] values; then
//! `y` and `x` are written, as layers before do it, and only the operator is timed. Minimums came within 6 % of
//! these networks'. A third less or more in between moves the sums by up to 5 %; without `y` and `x` written they
//! can be a seventh too high, as then all is read from memory. A network small enough to stay in the caches whole
//! is predicted too slow: FD-MobileNet 0.25 by 9 %.

use crate::{
    fuse,
    graph::Graph,
    layer::{Layer, Shape},
    lone::Lone,
    place::Places,
    timing::Times,
};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use kolibri::{Element, Parallel, kernels::Kernels};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    hint::black_box,
    io::{ErrorKind, Write},
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Dtype {
    F32,
    Int8,
}

impl Dtype {
    /// Both.
    pub const ALL: [Dtype; 2] = [Dtype::F32, Dtype::Int8];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::Int8 => "int8",
        }
    }
}

/// Layers that run as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The layers.
    pub layers: Vec<Layer>,
}

/// What a network as [`crate::simplify`] leaves it does, in order. Views are no steps. A concat is one where it copies:
/// its input channels are those that it must.
pub fn steps(graph: &Graph) -> Vec<Step> {
    let steps = fuse::steps(graph);
    let places = Places::new(graph, &steps);
    let step = |step: Range<usize>| {
        let mut layers = graph.layers[step.clone()].to_vec();
        if layers[0].shape.is_view() {
            let copied = places.copies(graph, step.start);
            layers[0].shape.cin = copied.iter().map(|&(value, _)| graph.shape(value)[2]).sum();
            layers[0].inputs.truncate(1);
        }
        (layers[0].shape.cin > 0).then_some(Step { layers })
    };
    steps.into_iter().filter_map(step).collect()
}

/// A layer as far as its time depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    #[serde(flatten)]
    shape: Shape,
    residual: bool,
}

/// All that the time of a step depends on, but for the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    layers: Vec<Part>,
    dtype: Dtype,
    level: String,
    threads: usize,
}

impl Key {
    /// Of a step that is run so.
    pub fn new(step: &Step, dtype: Dtype, kernels: &Kernels, threads: usize) -> Key {
        let part = |layer: &Layer| Part { shape: layer.shape, residual: layer.residual().is_some() };
        Key { layers: step.layers.iter().map(part).collect(), dtype, level: kernels.level.name().to_owned(), threads }
    }

    /// What values are.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// For messages.
    pub fn describe(&self) -> String {
        let part = |Part { shape, residual }: &Part| {
            let residual = if *residual { " + residual" } else { "" };
            format!("{} {}{residual}", shape.op_name(), shape.describe())
        };
        let layers: Vec<_> = self.layers.iter().map(part).collect();
        let Key { dtype, level, threads, .. } = self;
        format!("{}, {} on {level}, threads: {threads}", layers.join(", "), dtype.name())
    }
}

/// Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Seconds {
    pub min: f64,
    pub median: f64,
}

impl From<&Times> for Seconds {
    fn from(times: &Times) -> Seconds {
        Seconds { min: times.min(), median: times.median() }
    }
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: Key,
    seconds: Seconds,
}

/// Seconds of steps, in a file.
pub struct Table {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Table {
    /// The table in a file; an empty one where there is none.
    ///
    /// # Errors
    /// A file that cannot be read or is no such table.
    pub fn open(path: &Path) -> Result<Table> {
        let broken = || format!("{}: no latency table", path.display());
        let entries: Vec<Entry> = match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text).with_context(broken)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        let positive = |entry: &Entry| entry.seconds.min > 0.0 && entry.seconds.median >= entry.seconds.min;
        ensure!(entries.iter().all(positive), broken());
        Ok(Table { path: path.to_owned(), entries })
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The seconds of a step.
    pub fn get(&self, key: &Key) -> Option<Seconds> {
        self.entries.iter().find(|entry| entry.key == *key).map(|entry| entry.seconds)
    }

    /// Adds a step that is not there yet.
    pub fn push(&mut self, key: Key, seconds: Seconds) {
        self.entries.push(Entry { key, seconds });
    }

    /// Writes the file: whoever reads it at any time, and whatever happens, it is either the old one or the new one.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self) -> Result<()> {
        let mut part = self.path.clone().into_os_string();
        part.push(".part");
        let lines = self.entries.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let write = || {
            let mut file = File::create(&part)?;
            file.write_all(format!("[\n{}\n]\n", lines.join(",\n")).as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &self.path)
        };
        write().with_context(|| format!("{}", self.path.display()))
    }

    /// The seconds of a network: the sum of its steps.
    ///
    /// # Errors
    /// A step that was not measured.
    pub fn predict(&self, steps: &[Step], dtype: Dtype, kernels: &Kernels, threads: usize) -> Result<Seconds> {
        let mut sum = Seconds::default();
        for step in steps {
            let key = Key::new(step, dtype, kernels, threads);
            let missing =
                || format!("{}: no entry for {} {}", self.path.display(), step.layers[0].name, key.describe());
            let seconds = self.get(&key).with_context(missing)?;
            sum = Seconds { min: sum.min + seconds.min, median: sum.median + seconds.median };
        }
        Ok(sum)
    }
}

/// Values between two runs of a layer: about the weights and activations of a network, 24 MB in f32 and 6 in bytes.
pub const OTHERS: usize = 5 << 20;
/// Bytes that caches read at a time.
const LINE: usize = 64;
/// Time for a step, including what lies between its runs.
const BUDGET: Duration = Duration::from_millis(60);

/// Measures a step by itself as it would run within a network.
///
/// # Errors
/// Whatever kolibri finds wrong with a layer.
pub fn measure(step: &Step, dtype: Dtype, kernels: &'static Kernels, parallel: &dyn Parallel) -> Result<Seconds> {
    let layers = &step.layers[..];
    let threads = parallel.threads();
    let seconds = || match dtype {
        Dtype::F32 => in_passing(Lone::new(layers, kernels, threads)?, parallel),
        Dtype::Int8 => in_passing(Lone::quantized(layers, kernels, threads)?, parallel),
    };
    seconds().with_context(|| format!("{} {}", layers[0].name, layers[0].shape.describe()))
}

/// Between two runs of a layer a network reads the weights of all others and writes what they put out; then the layer
/// before writes `x`, and `y` takes the place of a value that was read not long ago.
fn in_passing<T: Element + Default>(mut lone: Lone<T>, parallel: &dyn Parallel) -> Result<Seconds> {
    let (threads, x) = (parallel.threads(), lone.x_mut().to_vec());
    // Ones, as untouched zeros would all be one page of memory.
    let others = vec![1u64; OTHERS * size_of::<T>() / size_of::<u64>()];
    let part = others.len().div_ceil(threads);
    let times = Times::collect(BUDGET, usize::MAX, || {
        parallel.run(threads, &|i| {
            for line in others[i * part..].iter().take(part).step_by(LINE / size_of::<u64>()) {
                black_box(*line);
            }
        });
        black_box(lone.y_mut()).fill(T::default());
        black_box(lone.x_mut()).copy_from_slice(&x);
        let start = Instant::now();
        lone.run(parallel)?;
        Ok(start.elapsed().as_secs_f64())
    })?;
    Ok(Seconds::from(&times))
}

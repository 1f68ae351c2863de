//! What a worker is to do.

use anyhow::{Context, Result, bail, ensure};
use kolibri_zoo::{graph::Graph, model};
use rayon::ThreadPoolBuilder;
use std::{env, fs, path::PathBuf};

/// The numbers that a network computes with. Image and logits are f32 in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    F32,
    Int8,
}

impl Dtype {
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Dtype::F32),
            "int8" => Ok(Dtype::Int8),
            _ => bail!("unknown DTYPE '{name}', known are f32 int8"),
        }
    }
}

/// A network, what it computes with, and how many threads it may use.
pub struct Task {
    pub directory: PathBuf,
    pub dtype: Dtype,
    pub threads: usize,
}

impl Task {
    pub fn file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.directory.join(name);
        fs::read(&path).with_context(|| format!("{}", path.display()))
    }

    /// Where the network is for engines that read ONNX.
    pub fn onnx(&self) -> PathBuf {
        self.directory.join(match self.dtype {
            Dtype::F32 => "f32.onnx",
            Dtype::Int8 => "int8.onnx",
        })
    }

    /// The network as its paper has it.
    pub fn graph(&self) -> Result<Graph> {
        model::read_json(&self.directory.join("graph.json"))
    }

    /// The image, NHWC.
    pub fn image(&self) -> Result<Vec<f32>> {
        let bytes = self.file("input.f32")?;
        Ok(bytes.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect())
    }

    /// Height, width and the values of the image, NCHW.
    pub fn planes(&self) -> Result<([usize; 2], Vec<f32>)> {
        let ([h, w, c], image) = (self.graph()?.input, self.image()?);
        ensure!(image.len() == h * w * c, "input.f32: {} values, expected {h}x{w}x{c}", image.len());
        Ok(([h, w], (0..c).flat_map(|channel| image.iter().skip(channel).step_by(c)).copied().collect()))
    }

    /// Gives rayon's global pool its threads, of which this one is the first: an engine that runs on it starts without
    /// waking another.
    pub fn global_pool(&self) -> Result<()> {
        // candle asks the environment how many threads it may use.
        // SAFETY: no other thread runs yet.
        unsafe { env::set_var("RAYON_NUM_THREADS", self.threads.to_string()) };
        Ok(ThreadPoolBuilder::new().num_threads(self.threads).use_current_thread().build_global()?)
    }
}

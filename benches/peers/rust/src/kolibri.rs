//! Kolibri itself, with the networks of its zoo.

use crate::{
    Engine,
    task::{Dtype, Task},
};
use ::kolibri::{Level, Parallel, Rayon, Serial};
use anyhow::Result;
use kolibri_zoo::{
    model::{Preprocess, Published},
    network::Network,
    quantized::{QuantizedModel, QuantizedNetwork},
    simplify::simplify,
};

/// On the best level of this CPU, which the environment variable KOLIBRI_ISA can narrow.
pub fn load(task: &Task) -> Result<Box<dyn Engine>> {
    if task.threads > 1 {
        task.global_pool()?;
    }
    let (kernels, graph, image) = (Level::selected()?, task.graph()?, task.image()?);
    // The image is input already.
    let preprocess = Preprocess::default();
    Ok(match task.dtype {
        Dtype::F32 => {
            let model = Published::from_bytes(&task.file("f32.safetensors")?, graph, preprocess)?.into_model();
            Box::new(Floats { network: Network::new(&model, kernels, task.threads)?, image, threads: task.threads })
        }
        Dtype::Int8 => {
            let (graph, _) = simplify(&graph, Vec::new());
            let model = QuantizedModel::from_bytes(&task.file("i8.safetensors")?, graph, preprocess)?;
            let network = QuantizedNetwork::new(&model, kernels, task.threads)?;
            Box::new(Bytes { network, image, threads: task.threads })
        }
    })
}

/// Runs `f` on one thread, or on those of the global pool.
fn on<T>(threads: usize, f: impl FnOnce(&dyn Parallel) -> T) -> T {
    if threads == 1 { f(&Serial) } else { Rayon::hold(f) }
}

struct Floats {
    network: Network,
    image: Vec<f32>,
    threads: usize,
}

impl Engine for Floats {
    fn run(&mut self) -> Result<Vec<f32>> {
        on(self.threads, |parallel| Ok(self.network.run(&self.image, parallel)?.to_vec()))
    }
}

struct Bytes {
    network: QuantizedNetwork,
    image: Vec<f32>,
    threads: usize,
}

impl Engine for Bytes {
    fn run(&mut self) -> Result<Vec<f32>> {
        on(self.threads, |parallel| Ok(self.network.run_f32(&self.image, parallel)?.to_vec()))
    }
}

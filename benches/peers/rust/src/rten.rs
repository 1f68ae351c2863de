//! RTen, which reads the ONNX file.

use crate::{Engine, task::Task};
use ::rten::{Model, ModelOptions, RunOptions, ThreadPool};
use anyhow::Result;
use rten_tensor::{AsView, NdTensor, Tensor};
use std::sync::Arc;

pub fn load(task: &Task) -> Result<Box<dyn Engine>> {
    let ([h, w], image) = task.planes()?;
    let pool = Arc::new(ThreadPool::with_num_threads(task.threads));
    Ok(Box::new(Rten {
        model: ModelOptions::with_all_ops().prepack_weights(true).load_file(task.onnx())?,
        image: NdTensor::from_data([1, 3, h, w], image),
        options: RunOptions::default().with_thread_pool(Some(pool)),
    }))
}

struct Rten {
    model: Model,
    image: NdTensor<f32, 4>,
    options: RunOptions,
}

impl Engine for Rten {
    fn run(&mut self) -> Result<Vec<f32>> {
        let logits = self.model.run_one(self.image.view().into(), Some(self.options.clone()))?;
        Ok(Tensor::<f32>::try_from(logits)?.into_data())
    }
}

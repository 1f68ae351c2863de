//! tract, which reads the ONNX file.

use crate::{Engine, task::Task};
use anyhow::{Context, Result};
use std::sync::Arc;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, IntoTValue, TValue, Tensor, TypedRunnableModel, multithread,
    tract_ndarray::Array, tvec,
};

pub fn load(task: &Task) -> Result<Box<dyn Engine>> {
    if task.threads > 1 {
        task.global_pool()?;
        multithread::set_default_executor(multithread::Executor::RayonGlobal);
    }
    let ([h, w], image) = task.planes()?;
    let model = tract_onnx::onnx().model_for_path(task.onnx())?.into_optimized()?.into_runnable()?;
    let image: Tensor = Array::from_shape_vec((1, 3, h, w), image)?.into();
    Ok(Box::new(Tract { model, image: image.into_tvalue() }))
}

struct Tract {
    model: Arc<TypedRunnableModel>,
    image: TValue,
}

impl Engine for Tract {
    fn run(&mut self) -> Result<Vec<f32>> {
        let logits = self.model.run(tvec![self.image.clone()])?;
        let logits = logits.first().context("no output")?.to_plain_array_view::<f32>()?;
        Ok(logits.iter().copied().collect())
    }
}

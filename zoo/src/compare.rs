//! How near a network of bytes is to the one in f32.

use crate::{
    model::Model,
    network::{Network, values},
    photo,
    quantized::{QuantizedModel, QuantizedNetwork},
};
use anyhow::Result;
use kolibri::{Parallel, kernels::Kernels};

/// What the logits of an image say in f32 and in bytes.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Likeliest classes in f32.
    pub f32: Vec<photo::Guess>,
    /// Likeliest classes in bytes.
    pub int8: Vec<photo::Guess>,
    /// Of the angle between the logits.
    pub cosine: f64,
}

/// The comparison over some images.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// For each image.
    pub answers: Vec<Answers>,
    /// Signal to noise of each layer's output over all images, in decibels.
    pub snr: Vec<f64>,
}

impl Comparison {
    /// Images whose likeliest class is the same.
    pub fn top1_equal(&self) -> usize {
        self.answers.iter().filter(|a| a.f32.first().map(|g| g.class) == a.int8.first().map(|g| g.class)).count()
    }

    /// Mean and least cosine.
    pub fn cosines(&self) -> (f64, f64) {
        let cosines = || self.answers.iter().map(|a| a.cosine);
        (cosines().sum::<f64>() / self.answers.len() as f64, cosines().fold(1.0, f64::min))
    }
}

/// Runs both networks on images, which are `SIDE * SIDE` pixels of red, green, blue.
///
/// # Errors
/// As [`Network::run`].
pub fn compare(
    model: &Model,
    quantized: &QuantizedModel,
    images: &[Vec<u8>],
    kernels: &'static Kernels,
    parallel: &dyn Parallel,
) -> Result<Comparison> {
    let mut f32 = Network::layer_by_layer(model, kernels, parallel.threads())?;
    let mut int8 = QuantizedNetwork::layer_by_layer(quantized, kernels, parallel.threads())?;
    let mut squares = vec![(0.0, 0.0); model.graph.layers.len()];
    let mut answers = Vec::new();
    for pixels in images {
        let mut outputs = Vec::new();
        let logits =
            f32.run_each(&photo::normalise(pixels, &model.preprocess), parallel, |_, y| outputs.push(values(y)))?;
        let input = photo::quantise(pixels, &model.preprocess, quantized.input());
        int8.network.run_each(&input, parallel, |i, y| {
            let (signal, noise) = &mut squares[i];
            let params = quantized.output(i);
            for (&x, q) in outputs[i].iter().zip(values(y)) {
                *signal += f64::from(x).powi(2);
                *noise += f64::from(x - params.dequantise(q)).powi(2);
            }
        })?;
        let logits_int8 = int8.run(&input, parallel)?;
        answers.push(Answers {
            f32: photo::top5(logits)?,
            int8: photo::top5(logits_int8)?,
            cosine: cosine(logits, logits_int8),
        });
    }
    let snr = squares.into_iter().map(|(signal, noise): (f64, f64)| 10.0 * (signal / noise).log10()).collect();
    Ok(Comparison { answers, snr })
}

/// Of the angle between two vectors.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

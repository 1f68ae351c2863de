//! Networks of bytes.

mod file;

use crate::{calibrate::Ranges, graph::Graph, model::Preprocess, network::Network, operator::Bytes};
use anyhow::{Result, ensure};
use kolibri::{Parallel, QuantParams, kernels::Kernels};

/// The weights of a layer in bytes; empty where it has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuantizedParameters {
    /// Their zero point is 0. The layout is that of the f32 weights.
    pub weights: Vec<i8>,
    /// Of each output channel.
    pub scales: Vec<f32>,
    /// In units of the input's scale times the weights'.
    pub bias: Vec<i32>,
}

/// A network whose weights are bytes, for no level yet. Activations are u8.
#[derive(Clone, Debug)]
pub struct QuantizedModel {
    /// How the ranges of activations were chosen.
    pub ranges: Ranges,
    /// How a photo becomes input.
    pub preprocess: Preprocess,
    /// As [`crate::simplify`] leaves it.
    pub graph: Graph,
    /// Weights of each layer.
    pub parameters: Vec<QuantizedParameters>,
    /// What the bytes of the input stand for and, after it, those of each layer's output.
    pub activations: Vec<QuantParams>,
}

impl QuantizedModel {
    /// What the bytes of the input stand for.
    pub fn input(&self) -> QuantParams {
        self.activations[0]
    }

    /// What the bytes of a layer's output stand for.
    pub fn output(&self, layer: usize) -> QuantParams {
        self.activations[layer + 1]
    }

    /// What the bytes of a layer's operands stand for.
    pub fn bytes(&self, layer: usize) -> Bytes {
        let inputs = &self.graph.layers[layer].inputs;
        let of = |&value: &usize| self.activations[value];
        Bytes { x: of(&inputs[0]), y: self.output(layer), other: inputs.get(1).map(of) }
    }

    /// Bytes of weights, their scales, and biases.
    pub fn parameter_bytes(&self) -> usize {
        let bytes = |p: &QuantizedParameters| p.weights.len() + size_of_val(&p.scales[..]) + size_of_val(&p.bias[..]);
        self.parameters.iter().map(bytes).sum()
    }
}

/// A network of bytes ready to run, from bytes to logits.
pub struct QuantizedNetwork {
    /// From bytes to bytes.
    pub network: Network<u8>,
    kernels: &'static Kernels,
    input: QuantParams,
    bytes: Vec<u8>,
    output: QuantParams,
    logits: Vec<f32>,
}

impl QuantizedNetwork {
    /// As [`Network::new`].
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn new(model: &QuantizedModel, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Ok(Self::with(Network::quantized(model, kernels, threads)?, model, kernels))
    }

    /// As [`Network::layer_by_layer`].
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn layer_by_layer(model: &QuantizedModel, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Ok(Self::with(Network::quantized_layer_by_layer(model, kernels, threads)?, model, kernels))
    }

    fn with(network: Network<u8>, model: &QuantizedModel, kernels: &'static Kernels) -> Self {
        let last = model.graph.layers.len() - 1;
        let logits = vec![0.0; model.graph.layers[last].shape.y_len()];
        let bytes = vec![0; network.input_len()];
        QuantizedNetwork { network, kernels, input: model.input(), bytes, output: model.output(last), logits }
    }

    /// The logits for an image of bytes, NHWC. Allocates nothing.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run(&mut self, input: &[u8], parallel: &dyn Parallel) -> Result<&[f32]> {
        let bytes = self.network.run(input, parallel)?;
        Ok(dequantise(bytes, self.output, &mut self.logits))
    }

    /// The same for an image of f32, which becomes bytes first.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_f32(&mut self, input: &[f32], parallel: &dyn Parallel) -> Result<&[f32]> {
        let Self { network, kernels, input: params, bytes, output, logits } = self;
        ensure!(input.len() == bytes.len(), "input: expected {} values, got {}", bytes.len(), input.len());
        kolibri::quantise(kernels, input, *params, bytes, parallel)?;
        Ok(dequantise(network.run(bytes, parallel)?, *output, logits))
    }
}

fn dequantise<'a>(bytes: &[u8], params: QuantParams, logits: &'a mut [f32]) -> &'a [f32] {
    logits.iter_mut().zip(bytes).for_each(|(logit, &byte)| *logit = params.dequantise(byte));
    logits
}

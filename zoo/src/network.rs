//! A network built for a level: operators, and all the memory that a run needs.

use crate::{layer::Layer, model::Model, operator::Operator, plan::Plan, quantized::QuantizedModel};
use anyhow::{Context, Result};
use kolibri::{Element, Error, Parallel, Workspace, kernels::Kernels};

/// A network ready to run.
pub struct Network<T: Element = f32> {
    /// Its layers.
    pub layers: Vec<Layer>,
    operators: Vec<Operator<T>>,
    plan: Plan,
    slots: Vec<Vec<T>>,
    workspace: Workspace,
}

impl Network<f32> {
    /// Packs the weights for a level and reserves the memory for up to `threads` threads.
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with a layer.
    pub fn new(model: &Model, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Self::build(&model.layers, threads, |i, layer| Operator::new(kernels, &layer.shape, &model.parameters[i]))
    }
}

impl Network<u8> {
    /// As [`Network::new`], on bytes.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn quantized(model: &QuantizedModel, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Self::build(&model.layers, threads, |i, layer| {
            Operator::quantized(kernels, &layer.shape, &model.parameters[i], &model.bytes(i))
        })
    }
}

impl<T: Element + Default> Network<T> {
    fn build(
        layers: &[Layer],
        threads: usize,
        operator: impl Fn(usize, &Layer) -> Result<Operator<T>, Error>,
    ) -> Result<Self> {
        let mut workspace = Workspace::default();
        let build = |(i, layer): (usize, &Layer)| {
            let operator = operator(i, layer).with_context(|| layer.name.clone())?;
            workspace.grow(operator.workspace_len(threads)?);
            Ok(operator)
        };
        let operators = layers.iter().enumerate().map(build).collect::<Result<_>>()?;
        let plan = Plan::new(layers);
        let slots = plan.slots.iter().map(|&len| vec![T::default(); len]).collect();
        Ok(Network { layers: layers.to_vec(), operators, plan, slots, workspace })
    }

    /// The kernels that each layer uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = Vec<&'static str>> {
        self.operators.iter().map(Operator::kernel_names)
    }

    /// Values of an input.
    pub fn input_len(&self) -> usize {
        self.layers[0].shape.x_len()
    }

    /// The logits for an image, NHWC; bytes where the network is of bytes. Allocates nothing.
    ///
    /// # Errors
    /// An input of the wrong length, more threads than the network was built for.
    pub fn run(&mut self, input: &[T], parallel: &dyn Parallel) -> Result<&[T]> {
        self.run_each(input, parallel, |_, _| {})
    }

    /// As [`Network::run`]; calls `after(index, output)` after each layer.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_each(
        &mut self,
        input: &[T],
        parallel: &dyn Parallel,
        mut after: impl FnMut(usize, &[T]),
    ) -> Result<&[T]> {
        for (i, (layer, operator)) in self.layers.iter().zip(&self.operators).enumerate() {
            let slot = self.plan.output[i];
            // Out of the arena while it is written, so that the others can be read.
            let mut y = std::mem::take(&mut self.slots[slot]);
            let output = |i: usize| &self.slots[self.plan.output[i]][..self.layers[i].shape.y_len()];
            let x = if i == 0 { input } else { output(i - 1) };
            let residual = layer.residual_from.map(output);
            let y_used = &mut y[..layer.shape.y_len()];
            let result = operator.run(x, residual, y_used, &mut self.workspace, parallel);
            after(i, y_used);
            self.slots[slot] = y;
            result.with_context(|| layer.name.clone())?;
        }
        let last = self.layers.len() - 1;
        Ok(&self.slots[self.plan.output[last]][..self.layers[last].shape.y_len()])
    }
}

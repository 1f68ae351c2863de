//! A network built for a level: operators, and all the memory that a run needs.

use crate::{
    layer::{Layer, Op},
    model::Model,
    operator::{self, Operator},
    plan::Plan,
};
use anyhow::{Context, Result, ensure};
use kolibri::{Image, ImageMut, Parallel, Workspace, kernels::Kernels, reference};

/// A network ready to run.
pub struct Network {
    /// Its layers.
    pub layers: Vec<Layer>,
    operators: Vec<Operator>,
    plan: Plan,
    slots: Vec<Vec<f32>>,
    workspace: Workspace,
}

impl Network {
    /// Packs the weights for a level and reserves the memory for up to `threads` threads.
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with a layer.
    pub fn new(model: &Model, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        let mut workspace = Workspace::default();
        let build = |(layer, parameters): (&Layer, &crate::model::Parameters)| {
            let operator = Operator::new(kernels, &layer.shape, &parameters.weights, &parameters.bias);
            let operator = operator.with_context(|| layer.name.clone())?;
            workspace.grow(operator.workspace_len(threads)?);
            Ok(operator)
        };
        let operators = model.layers.iter().zip(&model.parameters).map(build).collect::<Result<_>>()?;
        let plan = Plan::new(&model.layers);
        let slots = plan.slots.iter().map(|&len| vec![0.0; len]).collect();
        Ok(Network { layers: model.layers.clone(), operators, plan, slots, workspace })
    }

    /// The kernels that each layer uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = Vec<&'static str>> {
        self.operators.iter().map(Operator::kernel_names)
    }

    /// Values of an input.
    pub fn input_len(&self) -> usize {
        self.layers[0].shape.x_len()
    }

    /// The logits for an image, NHWC. Allocates nothing.
    ///
    /// # Errors
    /// An input of the wrong length, more threads than the network was built for.
    pub fn run(&mut self, input: &[f32], parallel: &dyn Parallel) -> Result<&[f32]> {
        self.run_each(input, parallel, |_, _| {})
    }

    /// As [`Network::run`]; calls `after(index, output)` after each layer.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_each(
        &mut self,
        input: &[f32],
        parallel: &dyn Parallel,
        mut after: impl FnMut(usize, &[f32]),
    ) -> Result<&[f32]> {
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

/// The logits by [`kolibri::reference`]: slow, and what every level with a fused multiply-add equals bit for bit.
///
/// # Errors
/// As [`Network::run`].
pub fn run_reference(model: &Model, input: &[f32]) -> Result<Vec<f32>> {
    ensure!(input.len() == model.layers[0].shape.x_len(), "input: of the wrong length");
    let mut outputs: Vec<Vec<f32>> = Vec::new();
    for (layer, parameters) in model.layers.iter().zip(&model.parameters) {
        let shape = &layer.shape;
        let mut y = vec![0.0; shape.y_len()];
        let x = outputs.last().map_or(input, Vec::as_slice);
        let (w, bias) = (&parameters.weights[..], &parameters.bias[..]);
        if shape.op == Op::Fc {
            reference::fully_connected(x, 1, &mut y, shape.cin, shape.cout, w, Some(bias), shape.activation())?;
        } else {
            let image = |data| Image::nhwc(data, 1, shape.hout, shape.wout, shape.cout);
            let residual = layer.residual_from.map(|from| image(&outputs[from])).transpose()?;
            let x = Image::nhwc(x, 1, shape.hin, shape.win, shape.cin)?;
            let y = ImageMut::nhwc(&mut y, 1, shape.hout, shape.wout, shape.cout)?;
            if shape.op == Op::Gap {
                reference::global_average(x, y)?;
            } else {
                let w = operator::weights(shape, w);
                reference::conv2d(x, residual, y, &shape.geometry(), w, Some(bias), shape.activation())?;
            }
        }
        outputs.push(y);
    }
    Ok(outputs.pop().unwrap_or_default())
}

//! Layers by themselves, with seeded random weights and hot caches: for networks whose weights are not at hand.

use crate::{
    layer::{Act, Layer, Op, Shape},
    model::{Parameters, read_json},
    operator::{Bytes, Operator},
    quantized::QuantizedParameters,
    random::Random,
};
use anyhow::{Context, Result};
use kolibri::{Element, Error, Parallel, QuantParams, Workspace, kernels::Kernels};
use serde::Deserialize;
use std::{fs, path::Path};

#[derive(Deserialize)]
struct NetworkFile {
    layers: Vec<Layer>,
}

/// The layers in `networks/<name>.json`.
///
/// # Errors
/// A file that is missing or broken.
pub fn load(networks: &Path, name: &str) -> Result<Vec<Layer>> {
    Ok(read_json::<NetworkFile>(&networks.join(format!("{name}.json")))?.layers)
}

/// The names of the networks in a directory.
///
/// # Errors
/// A directory that cannot be read.
pub fn known(networks: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(networks).with_context(|| format!("{}", networks.display()))?;
    let paths =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let names = paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.filter(|name| name != "SUMMARY").collect();
    names.sort();
    Ok(names)
}

/// A shape that occurs in a network.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// The first layer that has it.
    pub layer: Layer,
    /// Layers that have it.
    pub count: usize,
}

/// Every shape of `layers` once, in order of first appearance. A residual is part of the shape.
pub fn distinct(layers: &[Layer]) -> Vec<Distinct> {
    let mut all: Vec<Distinct> = Vec::new();
    for layer in layers {
        let same = |d: &&mut Distinct| {
            d.layer.shape == layer.shape && d.layer.residual_from.is_some() == layer.residual_from.is_some()
        };
        match all.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => all.push(Distinct { layer: layer.clone(), count: 1 }),
        }
    }
    all
}

/// An operator with operands of its own.
pub struct Lone<T: Element = f32> {
    operator: Operator<T>,
    x: Vec<T>,
    other: Option<Vec<T>>,
    y: Vec<T>,
    workspace: Workspace,
}

impl Lone<f32> {
    /// For a layer that has an operator, see [`Shape::absent`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with the shape.
    pub fn new(layer: &Layer, kernels: &'static Kernels, threads: usize) -> Result<Self, Error> {
        let mut random = Random::default();
        let weights = random.values(layer.shape.weight_shape().iter().product());
        let bias = random.values(layer.shape.cout);
        let operator = Operator::new(kernels, &layer.shape, &Parameters { weights, bias })?;
        Self::with(operator, layer, threads, |len| random.values(len))
    }
}

impl Lone<u8> {
    /// For a layer that has an operator on bytes, see [`Shape::absent_in_bytes`].
    ///
    /// # Errors
    /// As [`Lone::new`].
    pub fn quantized(layer: &Layer, kernels: &'static Kernels, threads: usize) -> Result<Self, Error> {
        let mut random = Random::default();
        let shape = &layer.shape;
        let weights = random.bytes(shape.weight_shape().iter().product()).map(|byte| byte as i8).collect();
        let scales = random.values(shape.cout).iter().map(|x| (1.5 + x) / 128.0).collect();
        let bias = random.values(shape.cout).iter().map(|x| (x * 1e4) as i32).collect();
        // As calibration would have it: nothing is below zero after ReLU.
        let relu = shape.act == Act::Relu || shape.act == Act::Relu6;
        let params = |scale, zero| QuantParams::new(scale, zero);
        let y = if relu { params(6.0 / 255.0, 0) } else { params(0.05, 100) };
        let bytes = Bytes { x: params(0.02, 0), y, residual: layer.residual_from.map(|_| params(0.04, 100)) };
        let operator = Operator::quantized(kernels, shape, &QuantizedParameters { weights, scales, bias }, &bytes)?;
        Self::with(operator, layer, threads, |len| random.bytes(len).collect())
    }
}

impl<T: Element + Default> Lone<T> {
    fn with(
        operator: Operator<T>,
        layer: &Layer,
        threads: usize,
        mut values: impl FnMut(usize) -> Vec<T>,
    ) -> Result<Self, Error> {
        let shape: &Shape = &layer.shape;
        let other = layer.residual_from.is_some() || shape.op == Op::Add;
        Ok(Lone {
            x: values(shape.x_len()),
            other: other.then(|| values(shape.y_len())),
            y: vec![T::default(); shape.y_len()],
            workspace: Workspace::new(operator.workspace_len(threads)?),
            operator,
        })
    }

    /// The kernels that it uses.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        self.operator.kernel_names()
    }

    /// Runs it.
    ///
    /// # Errors
    /// More threads than it was made for.
    pub fn run(&mut self, parallel: &dyn Parallel) -> Result<(), Error> {
        self.operator.run(&self.x, self.other.as_deref(), &mut self.y, &mut self.workspace, parallel)
    }
}

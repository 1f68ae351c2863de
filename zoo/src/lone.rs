//! Layers by themselves, with seeded random weights and hot caches: for networks whose weights are not at hand.

use crate::{
    layer::{Layer, Shape},
    model::read_json,
    operator::Operator,
};
use anyhow::{Context, Result};
use kolibri::{Error, Parallel, Workspace, kernels::Kernels};
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
pub struct Lone {
    operator: Operator,
    x: Vec<f32>,
    other: Option<Vec<f32>>,
    y: Vec<f32>,
    workspace: Workspace,
}

impl Lone {
    /// For a layer that has an operator, see [`Shape::absent`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with the shape.
    pub fn new(layer: &Layer, kernels: &'static Kernels, threads: usize) -> Result<Self, Error> {
        let shape: &Shape = &layer.shape;
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        let weights = random.values(shape.weight_shape().iter().product());
        let bias = random.values(shape.cout);
        let operator = Operator::new(kernels, shape, &weights, &bias)?;
        let other = layer.residual_from.is_some() || shape.op == crate::layer::Op::Add;
        Ok(Lone {
            x: random.values(shape.x_len()),
            other: other.then(|| random.values(shape.y_len())),
            y: vec![0.0; shape.y_len()],
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

/// Xorshift: the same values everywhere.
struct Random(u64);

impl Random {
    /// From -1 to 1.
    fn values(&mut self, len: usize) -> Vec<f32> {
        let next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(len).collect()
    }
}

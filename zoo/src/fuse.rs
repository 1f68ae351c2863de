//! Which layers run as one operator.

use crate::{
    graph::Graph,
    layer::{Act, Layer, Op},
};
use std::ops::Range;

/// Runs of layers that one operator does: all that lies between the first and the last is read by the next layer alone.
const RUNS: [&[&[Op]]; 3] = [
    // A squeeze-excite; what it multiplies is read by its first and by its last layer.
    &[&[Op::Gap], &[Op::PwConv], &[Op::PwConv], &[Op::Sigmoid], &[Op::Mul]],
    // An inverted residual, and a stem with the separable convolution behind it.
    &[&[Op::Conv, Op::PwConv], &[Op::DwConv], &[Op::PwConv]],
    // A separable convolution. Two in a chain took 1.00 to 1.04 times as long in MobileNetV1 in f32: more images between
    // the first and the last, where an arena reuses two.
    &[&[Op::DwConv, Op::PwConv, Op::Conv], &[Op::DwConv, Op::PwConv]],
];

/// The layers of each step, in order: as many as one operator does.
pub fn steps(graph: &Graph) -> Vec<Range<usize>> {
    let readers: Vec<usize> = graph.readers().iter().map(Vec::len).collect();
    let mut steps = Vec::new();
    let mut start = 0;
    while start < graph.layers.len() {
        let fits = RUNS.iter().find(|run| fits(&graph.layers[start..], start, run, &readers));
        let len = fits.map_or(1, |run| run.len());
        steps.push(start..start + len);
        start += len;
    }
    steps
}

/// Each layer by itself.
pub fn alone(graph: &Graph) -> Vec<Range<usize>> {
    (0..graph.layers.len()).map(|i| i..i + 1).collect()
}

/// Whether `layers`, of which the first has the index `start`, begin with a run.
fn fits(layers: &[Layer], start: usize, run: &[&[Op]], readers: &[usize]) -> bool {
    let last = run.len() - 1;
    let fits = |(i, (ops, layer)): (usize, (&&[Op], &Layer))| {
        // A product's factors are its second input.
        let follows = i == 0 || layer.inputs[usize::from(layer.shape.op == Op::Mul)] == start + i;
        let inner = readers[start + i + 1] == 1 && layer.residual().is_none();
        ops.contains(&layer.shape.op) && follows && (i == last || inner)
    };
    layers.len() >= run.len()
        && run.iter().zip(layers).enumerate().all(fits)
        && (layers[last].shape.op != Op::Mul || excites(&layers[..run.len()]))
}

/// Whether a product is of what was averaged, with a ReLU in between and nothing before the sigmoid.
fn excites(layers: &[Layer]) -> bool {
    let acts = [layers[1].shape.act, layers[2].shape.act];
    layers[0].inputs[0] == layers[layers.len() - 1].inputs[0] && acts == [Act::Relu, Act::None]
}

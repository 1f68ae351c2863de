//! Which layers run as one operator.

use crate::{
    graph::Graph,
    layer::{Act, Layer, Op},
};
use kolibri::Chain;
use std::ops::Range;

/// Runs of layers that one operator does: all that lies between the first and the last is read by the next layer alone.
const RUNS: [&[&[Op]]; 4] = [
    // A squeeze-excite; what it multiplies is read by its first and by its last layer.
    &[&[Op::Gap], &[Op::PwConv], &[Op::PwConv], &[Op::Sigmoid], &[Op::Mul]],
    // Two separable convolutions.
    &[&[Op::DwConv], &[Op::PwConv], &[Op::DwConv], &[Op::PwConv]],
    // An inverted residual, and a stem with the separable convolution behind it.
    &[&[Op::Conv, Op::PwConv], &[Op::DwConv], &[Op::PwConv]],
    &[&[Op::DwConv, Op::PwConv, Op::Conv], &[Op::DwConv, Op::PwConv]],
];

/// Values between two runs of convolutions from which on they are one: so many leave the caches, in f32 at least. The
/// first seven convolutions of MobileNetV1 take 0.9 times as long as one chain, with 0.8 million values between what were
/// two; with 0.2 million, in FD-MobileNet and before inverted residuals, 1.00 to 1.05 times (Zen 4, avx512).
const LARGE: usize = 1 << 19;

/// The layers of each step, in order: as many as one operator does.
pub fn steps(graph: &Graph) -> Vec<Range<usize>> {
    let readers: Vec<usize> = graph.readers().iter().map(Vec::len).collect();
    let mut steps: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    while start < graph.layers.len() {
        let fits = RUNS.iter().find(|run| fits(&graph.layers[start..], start, run, &readers));
        let step = start..start + fits.map_or(1, |run| run.len());
        start = step.end;
        match steps.last_mut() {
            Some(last) if joins(graph, last, &step, &readers) => last.end = step.end,
            _ => steps.push(step),
        }
    }
    steps
}

/// Whether two steps are one chain: much lies between them, which nobody else reads.
fn joins(graph: &Graph, first: &Range<usize>, second: &Range<usize>, readers: &[usize]) -> bool {
    let [a, b] = [first, second].map(|step| &graph.layers[step.clone()]);
    let (last, next) = (&a[a.len() - 1], &b[0]);
    let convs = a.iter().chain(b).all(|layer| layer.shape.is_conv());
    let alone = next.inputs[0] == first.end && readers[first.end] == 1 && last.residual().is_none();
    let large = last.shape.y_len() >= LARGE;
    a.len() > 1 && b.len() > 1 && a.len() + b.len() <= Chain::<f32>::MOST && convs && alone && large
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{networks, simplify::simplify};

    #[test]
    fn runs_are_one_chain_where_much_lies_between_them() {
        let lens = |name: &str| -> Vec<usize> {
            let (graph, _) = simplify(&networks::graph(name).unwrap(), Vec::new());
            steps(&graph).into_iter().map(|step| step.len()).collect()
        };
        // 112x112x64 values after the first three layers; joined with four more, the next four would be too many.
        assert_eq!(lens("mobilenet_v1_1.0"), [7, 4, 4, 4, 4, 4, 1, 1]);
        assert_eq!(lens("mobilenet_v1_0.25")[..2], [3, 4]);
        assert_eq!(lens("mobilenet_v2")[..2], [3, 3]);
    }
}

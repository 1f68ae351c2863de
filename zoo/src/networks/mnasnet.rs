//! MnasNet (Tan et al. 2019, arXiv 1807.11626): A1 as figure 7 has it, B1 without squeeze-and-excitation, both as in
//! `mnasnet_models.py` of tensorflow/tpu.

use super::inverted::{Row, network};
use crate::{
    graph::{Graph, Rule},
    layer::Act,
};

const A1: [Row; 7] = [
    (1, 3, 16, 1, 1, false),
    (6, 3, 24, 2, 2, false),
    (3, 5, 40, 3, 2, true),
    (6, 3, 80, 4, 2, false),
    (6, 3, 112, 2, 1, true),
    (6, 5, 160, 3, 2, true),
    (6, 3, 320, 1, 1, false),
];

const B1: [Row; 7] = [
    (1, 3, 16, 1, 1, false),
    (3, 3, 24, 3, 2, false),
    (3, 5, 40, 3, 2, false),
    (6, 5, 80, 3, 2, false),
    (6, 3, 96, 2, 1, false),
    (6, 5, 192, 4, 2, false),
    (6, 3, 320, 1, 1, false),
];

/// `_a1`, `_b1`.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let (_, rows) = [("_a1", A1), ("_b1", B1)].into_iter().find(|(model, _)| *model == rest)?;
    Some(network(name, Rule::Same, Act::Relu, 32, &rows, 1280))
}

//! EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946), table 1, without squeeze-and-excitation and
//! with ReLU6, as in `efficientnet/lite` of tensorflow/tpu.

use super::inverted::{Row, network};
use crate::{
    graph::{Graph, Rule},
    layer::Act,
};

const ROWS: [Row; 7] = [
    (1, 3, 16, 1, 1, false),
    (6, 3, 24, 2, 2, false),
    (6, 5, 40, 2, 2, false),
    (6, 3, 80, 3, 2, false),
    (6, 5, 112, 3, 1, false),
    (6, 5, 192, 4, 2, false),
    (6, 3, 320, 1, 1, false),
];

/// `0`.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    (rest == "0").then(|| network(name, Rule::Same, Act::Relu6, 32, &ROWS, 1280))
}

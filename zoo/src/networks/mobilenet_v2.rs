//! MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381), table 2, with a width multiplier.

use super::{
    inverted::{Row, network},
    multiplier,
};
use crate::{
    graph::{Graph, Rule},
    layer::Act,
};

const ROWS: [Row; 7] = [
    (1, 3, 16, 1, 1, false),
    (6, 3, 24, 2, 2, false),
    (6, 3, 32, 3, 2, false),
    (6, 3, 64, 4, 2, false),
    (6, 3, 96, 3, 1, false),
    (6, 3, 160, 3, 2, false),
    (6, 3, 320, 1, 1, false),
];

/// `_ALPHA`, which multiplies channels, or nothing.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let alpha = if rest.is_empty() { 1.0 } else { multiplier(rest.strip_prefix('_')?)? };
    let width = |c: usize| divisible(c as f64 * alpha);
    let rows = ROWS.map(|(t, k, c, n, s, squeeze)| (t, k, width(c), n, s, squeeze));
    // Networks below width 1 keep the last convolution: section 4 of the paper.
    let head = width(1280).max(1280);
    // As torchvision, whose weights are in `models/`, pads; TensorFlow's original pads as SAME does.
    Some(network(name, Rule::Symmetric, Act::Relu6, width(32), &rows, head))
}

/// The nearest multiple of 8 that is not more than a tenth below.
fn divisible(c: f64) -> usize {
    let nearest = ((c + 4.0) as usize / 8 * 8).max(8);
    if (nearest as f64) < 0.9 * c { nearest + 8 } else { nearest }
}

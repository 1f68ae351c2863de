//! MobileNetV1 (Howard et al. 2017, arXiv 1704.04861), table 1, with a width multiplier.

use super::multiplier;
use crate::{
    graph::{Builder, Graph, Rule},
    layer::Act,
};

/// Stride and output channels of each depthwise separable convolution.
pub(super) const BLOCKS: [(usize, usize); 13] = [
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
];

/// `_ALPHA`, which multiplies all channels.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let alpha = multiplier(rest.strip_prefix('_')?)?;
    let blocks = BLOCKS.map(|(stride, cout)| (stride, width(alpha, cout)));
    Some(separable(name, Rule::Same, Act::Relu6, width(alpha, 32), &blocks))
}

/// Channels under a width multiplier.
pub(super) fn width(alpha: f64, c: usize) -> usize {
    ((c as f64 * alpha).round() as usize).max(1)
}

/// A chain of depthwise separable convolutions.
pub(super) fn separable(name: &str, rule: Rule, act: Act, stem: usize, blocks: &[(usize, usize)]) -> Graph {
    let (mut b, image) = Builder::new(name, 224, rule);
    let mut x = b.conv("conv0", image, 3, 2, stem, act);
    for (i, &(stride, cout)) in (1..).zip(blocks) {
        x = b.dwconv(format!("conv{i}_dw"), x, 3, stride, act);
        x = b.pwconv(format!("conv{i}_pw"), x, cout, act);
    }
    x = b.gap("gap", x);
    b.fc("fc", x, 1000);
    b.finish()
}

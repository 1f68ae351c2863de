//! FD-MobileNet (Qin et al. 2018, arXiv 1802.03750), MobileNetV1 that halves the image sooner, with a width multiplier.

use super::{
    mobilenet_v1::{separable, width},
    multiplier,
};
use crate::{
    graph::{Graph, Rule},
    layer::Act,
};

/// Stride and output channels of each depthwise separable convolution.
const BLOCKS: [(usize, usize); 11] =
    [(2, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), (1, 512), (1, 512), (1, 512), (1, 512), (1, 1024)];

/// `_ALPHA`, which multiplies all channels.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let alpha = multiplier(rest.strip_prefix('_')?)?;
    let blocks = BLOCKS.map(|(stride, cout)| (stride, width(alpha, cout)));
    Some(separable(name, Rule::Symmetric, Act::Relu, width(alpha, 32), &blocks))
}

//! MobileNetV1 as AMC prunes it (He et al. 2018, arXiv 1802.03494): the channels are those of the authors' repository,
//! mit-han-lab/amc-models.

use super::mobilenet_v1::{BLOCKS, separable};
use crate::{
    graph::{Graph, Rule},
    layer::Act,
};

/// Channels of the stem and of each depthwise separable convolution, by what was halved.
const CHANNELS: [(&str, usize, [usize; 13]); 2] = [
    ("_0.5flops", 24, [48, 96, 80, 192, 200, 328, 352, 368, 360, 328, 400, 736, 752]),
    ("_0.5time", 16, [48, 88, 80, 192, 168, 336, 360, 360, 352, 352, 368, 768, 680]),
];

/// What was halved.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let &(_, stem, channels) = CHANNELS.iter().find(|(halved, ..)| *halved == rest)?;
    let mut blocks = BLOCKS;
    blocks.iter_mut().zip(channels).for_each(|((_, cout), c)| *cout = c);
    Some(separable(name, Rule::Symmetric, Act::Relu, stem, &blocks))
}

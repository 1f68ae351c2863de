//! ShuffleNetV1 (Zhang et al. 2018, arXiv 1707.01083), table 1, with a scale factor.

use super::multiplier;
use crate::{
    graph::{Builder, Graph, Rule, Value},
    layer::Act,
};

/// Groups, and the channels that they allow the second stage to have; each stage has twice those of the one before.
const CHANNELS: [(usize, usize); 5] = [(1, 144), (2, 200), (3, 240), (4, 272), (8, 384)];
/// Units of the stages, which are the second to the fourth.
const UNITS: [usize; 3] = [4, 8, 4];

/// `_SCALEx_gGROUPS`, where the scale multiplies all channels, the stem's too: at 0.5x and 2x that gives the paper's
/// multiply-adds, at 0.25x it gives 11 million of its 13.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let (scale, groups) = rest.strip_prefix('_')?.split_once("x_g")?;
    let scale = multiplier(scale)?;
    let &(groups, channels) = CHANNELS.iter().find(|(g, _)| g.to_string() == groups)?;
    let [stem, channels] = [24, channels].map(|c| (c as f64 * scale) as usize);
    // Where groups divide what the first unit adds and its bottleneck, they divide all that follows.
    let divided = stem > 0 && channels.is_multiple_of(4 * groups) && (channels - stem).is_multiple_of(groups);
    divided.then(|| shufflenet(name, stem, channels, groups))
}

fn shufflenet(name: &str, stem: usize, channels: usize, groups: usize) -> Graph {
    let (mut b, image) = Builder::new(name, 224, Rule::Symmetric);
    let mut x = b.conv("conv1", image, 3, 2, stem, Act::Relu);
    x = b.max_pool("maxpool", x, 3, 2);
    for (i, (stage, units)) in (2..).zip(UNITS).enumerate() {
        for j in 0..units {
            // The stem has too few channels for groups.
            let first = if (i, j) == (0, 0) { 1 } else { groups };
            x = unit(&mut b, &format!("stage{stage}.{j}"), x, channels << i, j == 0, [first, groups]);
        }
    }
    x = b.gap("gap", x);
    b.fc("fc", x, 1000);
    b.finish()
}

/// Figure 2: (b), or (c), which halves the image.
fn unit(b: &mut Builder, name: &str, x: Value, cout: usize, halves: bool, [first, groups]: [usize; 2]) -> Value {
    let (stride, added) = if halves { (2, cout - x.c) } else { (1, cout) };
    let mut y = b.gconv(format!("{name}.gconv1"), x, cout / 4, first, Act::Relu);
    if groups > 1 {
        y = b.shuffle(format!("{name}.shuffle"), y, groups);
    }
    y = b.dwconv(format!("{name}.dw"), y, 3, stride, Act::None);
    y = b.gconv(format!("{name}.gconv2"), y, added, groups, Act::None);
    if halves {
        let pooled = b.avg_pool(format!("{name}.avgpool"), x, 3, 2, true);
        b.concat(format!("{name}.concat"), &[pooled, y], Act::Relu)
    } else {
        b.add(format!("{name}.add"), x, y, Act::Relu)
    }
}

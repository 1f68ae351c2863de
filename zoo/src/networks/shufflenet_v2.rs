//! ShuffleNetV2 (Ma et al. 2018, arXiv 1807.11164), table 5.

use crate::{
    graph::{Builder, Graph, Rule, Value},
    layer::Act,
};

/// Scales, and the channels of the three stages and of the last convolution.
const CHANNELS: [(&str, [usize; 3], usize); 4] = [
    ("_0.5x", [48, 96, 192], 1024),
    ("_1.0x", [116, 232, 464], 1024),
    ("_1.5x", [176, 352, 704], 1024),
    ("_2.0x", [244, 488, 976], 2048),
];
/// Units of the stages, which are the second to the fourth.
const UNITS: [usize; 3] = [4, 8, 4];

/// A scale.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    let &(_, channels, last) = CHANNELS.iter().find(|(scale, ..)| *scale == rest)?;
    let (mut b, image) = Builder::new(name, 224, Rule::Symmetric);
    let mut x = b.conv("conv1", image, 3, 2, 24, Act::Relu);
    x = b.max_pool("maxpool", x, 3, 2);
    for (stage, (cout, units)) in (2..).zip(channels.into_iter().zip(UNITS)) {
        for i in 0..units {
            x = unit(&mut b, &format!("stage{stage}.{i}"), x, cout, i == 0);
        }
    }
    x = b.pwconv("conv5", x, last, Act::Relu);
    x = b.gap("gap", x);
    b.fc("fc", x, 1000);
    Some(b.finish())
}

/// Figure 3: (c), or (d), which halves the image.
fn unit(b: &mut Builder, name: &str, x: Value, cout: usize, halves: bool) -> Value {
    let half = cout / 2;
    let (left, right, stride) = if halves {
        let left = b.dwconv(format!("{name}.left_dw"), x, 3, 2, Act::None);
        (b.pwconv(format!("{name}.left_pw"), left, half, Act::Relu), x, 2)
    } else {
        (b.split(format!("{name}.split0"), x, 0, half), b.split(format!("{name}.split1"), x, half, half), 1)
    };
    let mut y = b.pwconv(format!("{name}.pw1"), right, half, Act::Relu);
    y = b.dwconv(format!("{name}.dw"), y, 3, stride, Act::None);
    y = b.pwconv(format!("{name}.pw2"), y, half, Act::Relu);
    y = b.concat(format!("{name}.concat"), &[left, y], Act::None);
    b.shuffle(format!("{name}.shuffle"), y, 2)
}

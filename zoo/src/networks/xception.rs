//! Xception (Chollet 2017, arXiv 1610.02357), figure 5.

use crate::{
    graph::{Builder, Graph, Rule, Value},
    layer::Act,
};

/// Channels of the two separable convolutions of each module that halves the image: three of the entry flow, one of
/// the exit flow.
const ENTRY: [[usize; 2]; 3] = [[128, 128], [256, 256], [728, 728]];
const EXIT: [usize; 2] = [728, 1024];
/// Modules of the middle flow, of three separable convolutions each.
const MIDDLE: usize = 8;

/// The network of the paper, which has no others.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    rest.is_empty().then(|| xception(name))
}

fn xception(name: &str) -> Graph {
    let (mut b, image) = Builder::new(name, 299, Rule::Same);
    let mut x = b.conv_valid("conv0", image, 3, 2, 32, Act::Relu);
    x = b.conv_valid("conv1", x, 3, 1, 64, Act::Relu);
    for (i, channels) in ENTRY.into_iter().enumerate() {
        // The convolution before the first module has its ReLU already.
        let after = if i == 0 { x } else { x.relu() };
        x = halve(&mut b, &format!("entry{i}"), x, after, channels);
    }
    for i in 0..MIDDLE {
        let mut y = x.relu();
        for (j, act) in [Act::Relu, Act::Relu, Act::None].into_iter().enumerate() {
            y = separable(&mut b, &format!("middle{i}.{j}"), y, 728, act);
        }
        x = b.add(format!("middle{i}.add"), y, x, Act::None);
    }
    x = halve(&mut b, "exit", x, x.relu(), EXIT);
    x = separable(&mut b, "sep0", x, 1536, Act::Relu);
    x = separable(&mut b, "sep1", x, 2048, Act::Relu);
    x = b.gap("gap", x);
    b.fc("fc", x, 1000);
    b.finish()
}

/// Two separable convolutions of what comes after a ReLU, and pooling; beside them a 1x1 convolution of `x`.
fn halve(b: &mut Builder, name: &str, x: Value, after: Value, [first, second]: [usize; 2]) -> Value {
    let shortcut = b.conv(format!("{name}.shortcut"), x, 1, 2, second, Act::None);
    let mut y = separable(b, &format!("{name}.0"), after, first, Act::Relu);
    y = separable(b, &format!("{name}.1"), y, second, Act::None);
    y = b.max_pool(format!("{name}.pool"), y, 3, 2);
    b.add(format!("{name}.add"), y, shortcut, Act::None)
}

fn separable(b: &mut Builder, name: &str, x: Value, cout: usize, act: Act) -> Value {
    let y = b.dwconv(format!("{name}.dw"), x, 3, 1, Act::None);
    b.pwconv(format!("{name}.pw"), y, cout, act)
}

//! Chains of inverted residual blocks, which the families after MobileNetV2 have in common.

use crate::{
    graph::{Builder, Graph, Rule, Value},
    layer::Act,
};

/// Blocks alike: expansion, kernel, output channels, number of blocks, stride of the first, whether with
/// squeeze-and-excitation.
pub(super) type Row = (usize, usize, usize, usize, usize, bool);

/// A convolution of `stem` channels, the blocks, a pointwise convolution of `head` channels, the classifier.
pub(super) fn network(name: &str, rule: Rule, act: Act, stem: usize, rows: &[Row], head: usize) -> Graph {
    let (mut b, image) = Builder::new(name, 224, rule);
    let mut x = b.conv("stem", image, 3, 2, stem, act);
    let mut blocks = 0;
    for row in rows {
        let &(.., repeats, first_stride, _) = row;
        for i in 0..repeats {
            let stride = if i == 0 { first_stride } else { 1 };
            x = block(&mut b, &format!("block{blocks:02}"), x, row, stride, act);
            blocks += 1;
        }
    }
    x = b.pwconv("head", x, head, act);
    x = b.gap("gap", x);
    b.fc("fc", x, 1000);
    b.finish()
}

fn block(b: &mut Builder, name: &str, x: Value, row: &Row, stride: usize, act: Act) -> Value {
    let &(expansion, k, cout, .., squeeze) = row;
    let mut y = x;
    if expansion > 1 {
        y = b.pwconv(format!("{name}.expand"), y, expansion * x.c, act);
    }
    y = b.dwconv(format!("{name}.dw"), y, k, stride, act);
    if squeeze {
        // To a quarter of what enters the block, not of what it expands to.
        y = squeeze_and_excite(b, &format!("{name}.se"), y, x.c / 4, act);
    }
    y = b.pwconv(format!("{name}.project"), y, cout, Act::None);
    if stride == 1 && cout == x.c { b.add(format!("{name}.add"), y, x, Act::None) } else { y }
}

/// Multiplies channels by factors between 0 and 1 that follow from all channels' averages.
fn squeeze_and_excite(b: &mut Builder, name: &str, x: Value, reduced: usize, act: Act) -> Value {
    let mut factors = b.gap(format!("{name}_gap"), x);
    factors = b.pwconv(format!("{name}_reduce"), factors, reduced, act);
    factors = b.pwconv(format!("{name}_expand"), factors, x.c, Act::Sigmoid);
    b.mul(format!("{name}_mul"), x, factors)
}

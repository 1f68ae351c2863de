//! NASNet-A (Zoph et al. 2018, arXiv 1707.07012), figure 4. What goes between cells is as in `nasnet_mobile.py` of
//! Cadene/pretrained-models.pytorch.

use crate::{
    graph::{Builder, Graph, Rule, Value},
    layer::Act,
};

/// What a block reads.
#[derive(Clone, Copy)]
enum Source {
    /// The output of the cell before, after a 1x1 convolution.
    Last,
    /// The output of the cell before that, likewise.
    Previous,
    /// The output of a block of this cell.
    Block(usize),
}

/// What a block does with it.
#[derive(Clone, Copy)]
enum Branch {
    /// Two separable convolutions of that kernel.
    Separable(usize),
    /// 3x3.
    Average,
    /// 3x3.
    Max,
    Nothing,
}

use Branch::{Average, Max, Nothing, Separable};
use Source::{Block, Last, Previous};

/// Blocks, each of which adds two branches, and what their outputs are joined to.
struct Cell {
    blocks: [[(&'static str, Branch, Source); 2]; 5],
    joined: &'static [Source],
    /// Of what comes from other cells.
    stride: usize,
}

const NORMAL: Cell = Cell {
    blocks: [
        [("0l", Separable(5), Last), ("0r", Separable(3), Previous)],
        [("1l", Separable(5), Previous), ("1r", Separable(3), Previous)],
        [("2l", Average, Last), ("2r", Nothing, Previous)],
        [("3l", Average, Previous), ("3r", Average, Previous)],
        [("4l", Separable(3), Last), ("4r", Nothing, Last)],
    ],
    joined: &[Previous, Block(0), Block(1), Block(2), Block(3), Block(4)],
    stride: 1,
};

const REDUCTION: Cell = Cell {
    blocks: [
        [("0l", Separable(5), Last), ("0r", Separable(7), Previous)],
        [("1l", Max, Last), ("1r", Separable(7), Previous)],
        [("2l", Average, Last), ("2r", Separable(5), Previous)],
        [("3r", Average, Block(0)), ("3l", Nothing, Block(1))],
        [("4l", Separable(3), Block(0)), ("4r", Max, Last)],
    ],
    joined: &[Block(1), Block(2), Block(3), Block(4)],
    stride: 2,
};

/// Cells of a kind between two reductions.
const REPEATS: usize = 4;
/// Channels of the last cell's output, which joins six parts.
const LAST: usize = 1056;

/// `_mobile_4at1056`.
pub(super) fn named(name: &str, rest: &str) -> Option<Graph> {
    (rest == "_mobile_4at1056").then(|| nasnet(name))
}

fn nasnet(name: &str) -> Graph {
    // Each reduction doubles them. The stem's two, where the image is large, lead up to the first cells'.
    let filters = LAST / 6 / 4;
    let mut cells = vec![("stem0".to_owned(), &REDUCTION, filters / 4), ("stem1".to_owned(), &REDUCTION, filters / 2)];
    for i in 0..3 {
        if i > 0 {
            cells.push((format!("reduction{}", i - 1), &REDUCTION, filters << i));
        }
        cells.extend((i * REPEATS..(i + 1) * REPEATS).map(|j| (format!("cell{j}"), &NORMAL, filters << i)));
    }

    let (mut b, image) = Builder::new(name, 224, Rule::Same);
    let mut x = b.conv_valid("conv0", image, 3, 2, 32, Act::None);
    let mut previous = None;
    for (name, kind, filters) in cells {
        let y = cell(&mut b, &name, kind, filters, x, previous);
        (previous, x) = (Some(x), y);
    }
    let pooled = b.gap("gap", x.relu());
    b.fc("fc", pooled, 1000);
    b.finish()
}

fn cell(b: &mut Builder, name: &str, kind: &Cell, filters: usize, x: Value, previous: Option<Value>) -> Value {
    let squeeze = |b: &mut Builder| b.pwconv(format!("{name}.1x1"), x.relu(), filters, Act::None);
    let fit = |b: &mut Builder| match previous {
        // The first cell has but one before it, which it reads as it is, too.
        None => x,
        Some(p) if p.h == x.h => b.pwconv(format!("{name}.prev1x1"), p.relu(), filters, Act::None),
        Some(p) => halve(b, &format!("{name}.prev"), p.relu(), filters),
    };
    // Neither reads the other: the order is that of the listing which the tests compare with.
    let (last, previous) = if kind.stride == 1 {
        let previous = fit(b);
        (squeeze(b), previous)
    } else {
        (squeeze(b), fit(b))
    };
    let mut blocks: Vec<Value> = Vec::new();
    let read = |blocks: &[Value], source| match source {
        Last => (last, kind.stride),
        Previous => (previous, kind.stride),
        Block(i) => (blocks[i], 1),
    };
    for (i, branches) in kind.blocks.iter().enumerate() {
        let [l, r] = branches.map(|(side, branch, source)| {
            let (x, stride) = read(&blocks, source);
            let name = format!("{name}.{side}");
            match branch {
                Separable(k) => separable(b, &name, x, k, stride, filters),
                Average => b.avg_pool(name, x, 3, stride, false),
                Max => b.max_pool(name, x, 3, stride),
                Nothing => x,
            }
        });
        blocks.push(b.add(format!("{name}.{i}"), l, r, Act::None));
    }
    let joined: Vec<_> = kind.joined.iter().map(|&source| read(&blocks, source).0).collect();
    b.concat(name, &joined, Act::None)
}

/// A separable convolution twice.
fn separable(b: &mut Builder, name: &str, mut x: Value, k: usize, stride: usize, filters: usize) -> Value {
    for (i, stride) in (1..).zip([stride, 1]) {
        x = b.dwconv(format!("{name}.dw{i}"), x.relu(), k, stride, Act::None);
        x = b.pwconv(format!("{name}.pw{i}"), x, filters, Act::None);
    }
    x
}

/// Half of the channels from every second pixel, the others from the pixels diagonally behind those.
fn halve(b: &mut Builder, name: &str, x: Value, filters: usize) -> Value {
    let paths = [(1, filters / 2), (2, filters - filters / 2)].map(|(path, filters)| {
        let pixels = b.subsample(format!("{name}.path{path}_pool"), x, 2, path - 1);
        b.pwconv(format!("{name}.path{path}"), pixels, filters, Act::None)
    });
    b.concat(format!("{name}.concat"), &paths, Act::None)
}

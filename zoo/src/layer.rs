//! Layers of networks.

use kolibri::{Activation, ConvGeometry, Padding, Window};
use serde::{Deserialize, Serialize};

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the documentation
pub enum Op {
    Conv,
    DwConv,
    PwConv,
    GConv,
    Fc,
    Add,
    Mul,
    Shuffle,
    Split,
    Concat,
    AvgPool,
    MaxPool,
    Gap,
    Relu,
    Sigmoid,
}

/// What a layer applies to its output, or to its input before anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Act {
    #[default]
    None,
    Relu,
    Relu6,
    Sigmoid,
}

/// Layers that have their time in common: the classes that benches sum up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Class {
    Pointwise,
    Grouped,
    Depthwise,
    Conv,
    FullyConnected,
    /// Several layers that one operator does.
    Fused,
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 7] = [
        Class::Pointwise,
        Class::Grouped,
        Class::Depthwise,
        Class::Conv,
        Class::FullyConnected,
        Class::Fused,
        Class::Other,
    ];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Class::Pointwise => "pointwise",
            Class::Grouped => "grouped pointwise",
            Class::Depthwise => "depthwise",
            Class::Conv => "stem conv",
            Class::FullyConnected => "fc",
            Class::Fused => "fused",
            Class::Other => "other",
        }
    }
}

/// Padding: top, bottom, left, right. Negative where an input is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "SidesInFile")]
pub struct Sides(pub [isize; 4]);

/// Files of models name the sides, listings of networks list them.
#[derive(Deserialize)]
#[serde(untagged)]
enum SidesInFile {
    Named { top: isize, bottom: isize, left: isize, right: isize },
    Listed([isize; 4]),
}

impl From<SidesInFile> for Sides {
    fn from(sides: SidesInFile) -> Self {
        match sides {
            SidesInFile::Named { top, bottom, left, right } => Sides([top, bottom, left, right]),
            SidesInFile::Listed(sides) => Sides(sides),
        }
    }
}

/// A layer of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name; weights are called `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// Values that it reads: 0 is the image, `i + 1` the output of layer `i`. The second of a convolution is a residual,
    /// added before the activation.
    pub inputs: Vec<usize>,
    /// All that its time depends on.
    pub shape: Shape,
}

impl Layer {
    /// The value that a convolution adds before its activation.
    pub fn residual(&self) -> Option<usize> {
        self.inputs.get(1).copied().filter(|_| self.shape.is_conv())
    }

    /// A layer that does something to each value of this one's output, which is `value`.
    pub fn elementwise(&self, op: Op, value: usize) -> Layer {
        let Shape { hout, wout, cout, .. } = self.shape;
        let size = Shape { hin: hout, win: wout, cin: cout, ..self.shape };
        let shape = Shape { op, k: 1, stride: 1, pad: Sides([0; 4]), groups: 1, act: Act::None, macs: 0, ..size };
        Layer { name: format!("{}.{}", self.name, shape.op_name()), inputs: vec![value], shape }
    }
}

/// What a layer computes, apart from its weights and its place in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Shape {
    pub op: Op,
    pub k: usize,
    pub stride: usize,
    pub pad: Sides,
    pub cin: usize,
    pub cout: usize,
    pub groups: usize,
    pub hin: usize,
    pub win: usize,
    pub hout: usize,
    pub wout: usize,
    #[serde(default)]
    pub pre_act: Act,
    pub act: Act,
    #[serde(default)]
    pub count_include_pad: bool,
    /// The first channel that a split takes.
    #[serde(default)]
    pub offset: usize,
    /// Multiply-adds.
    pub macs: usize,
}

impl Shape {
    /// Floating-point operations: two for each multiply-add.
    pub fn flops(&self) -> f64 {
        2.0 * self.macs as f64
    }

    /// Whether it is a convolution, which can add a residual.
    pub fn is_conv(&self) -> bool {
        matches!(self.op, Op::Conv | Op::DwConv | Op::PwConv | Op::GConv)
    }

    /// Whether it begins inside its input.
    pub fn crops(&self) -> bool {
        self.pad.0[0] < 0
    }

    /// Weights and biases.
    pub fn params(&self) -> usize {
        let weights = self.weight_shape();
        if weights.is_empty() { 0 } else { weights.iter().product::<usize>() + self.cout }
    }

    /// Values of the input.
    pub fn x_len(&self) -> usize {
        self.hin * self.win * self.cin
    }

    /// Values of the output.
    pub fn y_len(&self) -> usize {
        self.hout * self.wout * self.cout
    }

    /// The shape of the weights; empty where a layer has none.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.op {
            Op::Conv | Op::GConv if self.k == 1 => vec![self.cout, self.cin / self.groups],
            Op::Conv | Op::GConv => vec![self.cout, self.k, self.k, self.cin / self.groups],
            Op::DwConv => vec![self.k, self.k, self.cout],
            Op::PwConv | Op::Fc => vec![self.cout, self.cin],
            _ => Vec::new(),
        }
    }

    /// The class that its time counts for.
    pub fn class(&self) -> Class {
        match self.op {
            Op::PwConv => Class::Pointwise,
            Op::GConv => Class::Grouped,
            Op::DwConv => Class::Depthwise,
            Op::Conv => Class::Conv,
            Op::Fc => Class::FullyConnected,
            _ => Class::Other,
        }
    }

    /// The name in files and tables.
    pub fn op_name(&self) -> String {
        format!("{:?}", self.op).to_lowercase()
    }

    /// `112x112x32 -> 16 k1 s1`.
    pub fn describe(&self) -> String {
        let Shape { hin, win, cin, cout, k, stride, .. } = self;
        let groups =
            if matches!(self.op, Op::GConv | Op::Shuffle) { format!(" g{}", self.groups) } else { String::new() };
        format!("{hin}x{win}x{cin} -> {cout} k{k} s{stride}{groups}")
    }

    /// Whether there is nothing to run: a view.
    pub fn is_view(&self) -> bool {
        matches!(self.op, Op::Split | Op::Concat)
    }

    /// The activation that follows; a sigmoid is a layer of its own.
    pub fn activation(&self) -> Activation {
        match self.act {
            Act::None | Act::Sigmoid => Activation::None,
            Act::Relu => Activation::Relu,
            Act::Relu6 => Activation::Relu6,
        }
    }

    /// The sliding window.
    pub fn window(&self) -> Window {
        let [top, bottom, left, right] = self.pad.0.map(|pad| pad.max(0).unsigned_abs());
        let padding = Padding::Explicit { top, left, bottom, right };
        Window { kernel: [self.k; 2], stride: [self.stride; 2], dilation: [1; 2], padding }
    }

    /// As a convolution.
    pub fn geometry(&self) -> ConvGeometry {
        ConvGeometry { cin: self.cin, cout: self.cout, groups: self.groups, window: self.window() }
    }
}

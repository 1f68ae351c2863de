//! Layers as the files in `models/` and `networks/` describe them.

use kolibri::{Activation, ConvGeometry, Padding, Window};
use serde::Deserialize;

/// What a layer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
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
}

/// What a layer applies to its output, or to its input before anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
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
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 6] =
        [Class::Pointwise, Class::Grouped, Class::Depthwise, Class::Conv, Class::FullyConnected, Class::Other];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Class::Pointwise => "pointwise",
            Class::Grouped => "grouped pointwise",
            Class::Depthwise => "depthwise",
            Class::Conv => "stem conv",
            Class::FullyConnected => "fc",
            Class::Other => "other",
        }
    }
}

/// Padding: top, bottom, left, right. Negative where an input is cropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "SidesInFile")]
pub struct Sides(pub [isize; 4]);

/// `models/` name the sides, `networks/` list them.
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
#[derive(Clone, Debug, Deserialize)]
pub struct Layer {
    /// Its name; weights are called `<name>.weight` and `<name>.bias`.
    pub name: String,
    /// The layer whose output is added before the activation.
    #[serde(default)]
    pub residual_from: Option<usize>,
    /// All that its time depends on.
    #[serde(flatten)]
    pub shape: Shape,
}

/// What a layer computes, apart from its weights and its place in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
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
    /// Multiply-adds.
    pub macs: usize,
}

impl Shape {
    /// Floating-point operations: two for each multiply-add.
    pub fn flops(&self) -> f64 {
        2.0 * self.macs as f64
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

    /// Why there is nothing to run.
    pub fn absent(&self) -> Option<&'static str> {
        match self.op {
            Op::Split | Op::Concat => Some("a view: nothing to run"),
            Op::Mul => Some("not offered: multiplication"),
            _ if self.pad.0.iter().any(|&pad| pad < 0) => Some("not offered: negative padding"),
            _ => None,
        }
    }

    /// Why there is nothing to run on bytes.
    pub fn absent_in_bytes(&self) -> Option<&'static str> {
        let padded = self.op == Op::AvgPool && self.count_include_pad && self.pad.0 != [0; 4];
        self.absent().or(padded.then_some("not offered in bytes: an average that counts padding"))
    }

    /// What an operator of this shape leaves out.
    pub fn left_out(&self) -> Option<&'static str> {
        match (self.pre_act, self.act) {
            (Act::None, Act::Sigmoid) => Some("without its sigmoid: not offered"),
            (Act::None, _) => None,
            _ => Some("without the activation of its input: not offered"),
        }
    }

    /// The activation that follows, as far as it is offered.
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

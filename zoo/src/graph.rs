//! Networks as data: layers in the order in which they run, and what feeds what.

use crate::layer::{Act, Layer, Op, Shape, Sides};
use serde::{Deserialize, Serialize};

/// A network, apart from its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// As [`crate::networks`] knows it.
    pub name: String,
    /// Height, width, channels of the image.
    pub input: [usize; 3],
    /// Layers, each after those that it reads. The last one's output is the network's.
    pub layers: Vec<Layer>,
}

impl Graph {
    /// Values: the image, and each layer's output.
    pub fn values(&self) -> usize {
        self.layers.len() + 1
    }

    /// Height, width, channels of a value.
    pub fn shape(&self, value: usize) -> [usize; 3] {
        match value.checked_sub(1) {
            None => self.input,
            Some(layer) => {
                let Shape { hout, wout, cout, .. } = self.layers[layer].shape;
                [hout, wout, cout]
            }
        }
    }

    /// The layers that read each value.
    pub fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.values()];
        for (i, layer) in self.layers.iter().enumerate() {
            layer.inputs.iter().for_each(|&value| readers[value].push(i));
        }
        readers
    }

    /// Multiply-adds for one image.
    pub fn macs(&self) -> usize {
        self.layers.iter().map(|layer| layer.shape.macs).sum()
    }

    /// Weights and biases.
    pub fn params(&self) -> usize {
        self.layers.iter().map(|layer| layer.shape.params()).sum()
    }
}

/// How windows are padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// As TensorFlow's SAME: `ceil(size / stride)` outputs, the odd pixel at bottom and right.
    Same,
    /// `k / 2` on each side.
    Symmetric,
}

/// A network in the making.
pub struct Builder {
    graph: Graph,
    rule: Rule,
}

/// The image, or what a layer puts out.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    index: usize,
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels.
    pub c: usize,
    pre_act: Act,
}

impl Value {
    /// The value after a ReLU, which the layers that read it apply.
    pub fn relu(self) -> Value {
        Value { pre_act: Act::Relu, ..self }
    }
}

/// What a layer's kind does not say.
#[derive(Clone, Copy)]
struct Facts {
    k: usize,
    stride: usize,
    cout: usize,
    groups: usize,
    act: Act,
}

impl Builder {
    /// For a square image of three channels.
    pub fn new(name: impl Into<String>, side: usize, rule: Rule) -> (Builder, Value) {
        let graph = Graph { name: name.into(), input: [side, side, 3], layers: Vec::new() };
        (Builder { graph, rule }, Value { index: 0, h: side, w: side, c: 3, pre_act: Act::None })
    }

    /// The network.
    pub fn finish(self) -> Graph {
        self.graph
    }

    /// Padding before and after, and outputs.
    fn padding(&self, size: usize, k: usize, stride: usize) -> ([isize; 2], usize) {
        let (before, after, out) = match self.rule {
            Rule::Same => {
                let out = size.div_ceil(stride);
                let total = ((out - 1) * stride + k).saturating_sub(size);
                (total / 2, total - total / 2, out)
            }
            Rule::Symmetric => (k / 2, k / 2, (size + k / 2 * 2 - k) / stride + 1),
        };
        ([before.cast_signed(), after.cast_signed()], out)
    }

    fn window(&mut self, op: Op, name: String, x: Value, facts: Facts) -> Value {
        let ([top, bottom], hout) = self.padding(x.h, facts.k, facts.stride);
        let ([left, right], wout) = self.padding(x.w, facts.k, facts.stride);
        self.layer(op, name, &[x], Sides([top, bottom, left, right]), [hout, wout], facts)
    }

    fn layer(
        &mut self,
        op: Op,
        name: String,
        inputs: &[Value],
        pad: Sides,
        [hout, wout]: [usize; 2],
        Facts { k, stride, cout, groups, act }: Facts,
    ) -> Value {
        let x = inputs[0];
        let cin = if op == Op::Concat { cout } else { x.c };
        let mut shape = Shape {
            op,
            k,
            stride,
            pad,
            cin,
            cout,
            groups,
            hin: x.h,
            win: x.w,
            hout,
            wout,
            pre_act: x.pre_act,
            act,
            count_include_pad: false,
            offset: 0,
            macs: 0,
        };
        let weights = shape.weight_shape();
        shape.macs = if weights.is_empty() { 0 } else { hout * wout * weights.iter().product::<usize>() };
        self.graph.layers.push(Layer { name, inputs: inputs.iter().map(|x| x.index).collect(), shape });
        Value { index: self.graph.layers.len(), h: hout, w: wout, c: cout, pre_act: Act::None }
    }

    fn last(&mut self) -> &mut Shape {
        let last = self.graph.layers.len() - 1;
        &mut self.graph.layers[last].shape
    }

    /// A layer whose output has the size of its first input.
    fn same(&mut self, op: Op, name: String, inputs: &[Value], cout: usize, groups: usize, act: Act) -> Value {
        let size = [inputs[0].h, inputs[0].w];
        self.layer(op, name, inputs, Sides([0; 4]), size, Facts { k: 1, stride: 1, cout, groups, act })
    }

    /// A convolution over all channels.
    pub fn conv(&mut self, name: impl Into<String>, x: Value, k: usize, stride: usize, cout: usize, act: Act) -> Value {
        self.window(Op::Conv, name.into(), x, Facts { k, stride, cout, groups: 1, act })
    }

    /// As [`Builder::conv`], without padding.
    pub fn conv_valid(
        &mut self,
        name: impl Into<String>,
        x: Value,
        k: usize,
        stride: usize,
        cout: usize,
        act: Act,
    ) -> Value {
        let size = [x.h, x.w].map(|size| (size - k) / stride + 1);
        self.layer(Op::Conv, name.into(), &[x], Sides([0; 4]), size, Facts { k, stride, cout, groups: 1, act })
    }

    /// A convolution of each channel by itself.
    pub fn dwconv(&mut self, name: impl Into<String>, x: Value, k: usize, stride: usize, act: Act) -> Value {
        self.window(Op::DwConv, name.into(), x, Facts { k, stride, cout: x.c, groups: x.c, act })
    }

    /// A 1x1 convolution.
    pub fn pwconv(&mut self, name: impl Into<String>, x: Value, cout: usize, act: Act) -> Value {
        self.same(Op::PwConv, name.into(), &[x], cout, 1, act)
    }

    /// A 1x1 convolution in groups.
    pub fn gconv(&mut self, name: impl Into<String>, x: Value, cout: usize, groups: usize, act: Act) -> Value {
        let op = if groups == 1 { Op::PwConv } else { Op::GConv };
        self.same(op, name.into(), &[x], cout, groups, act)
    }

    /// A product of a vector, which has the size of one pixel.
    pub fn fc(&mut self, name: impl Into<String>, x: Value, cout: usize) -> Value {
        self.same(Op::Fc, name.into(), &[x], cout, 1, Act::None)
    }

    /// The sum of two values.
    pub fn add(&mut self, name: impl Into<String>, a: Value, b: Value, act: Act) -> Value {
        self.same(Op::Add, name.into(), &[a, b], a.c, 1, act)
    }

    /// `factors` has one pixel, whose channels multiply those of every pixel of `x`.
    pub fn mul(&mut self, name: impl Into<String>, x: Value, factors: Value) -> Value {
        self.same(Op::Mul, name.into(), &[x, factors], x.c, 1, Act::None)
    }

    /// The channels of one after those of another.
    pub fn concat(&mut self, name: impl Into<String>, parts: &[Value], act: Act) -> Value {
        self.same(Op::Concat, name.into(), parts, parts.iter().map(|x| x.c).sum(), 1, act)
    }

    /// `c` channels from `offset` on.
    pub fn split(&mut self, name: impl Into<String>, x: Value, offset: usize, c: usize) -> Value {
        let y = self.same(Op::Split, name.into(), &[x], c, 1, Act::None);
        self.last().offset = offset;
        y
    }

    /// Channel `j * groups + i` is channel `i * c / groups + j` of `x`.
    pub fn shuffle(&mut self, name: impl Into<String>, x: Value, groups: usize) -> Value {
        self.same(Op::Shuffle, name.into(), &[x], x.c, groups, Act::None)
    }

    /// The largest of a window.
    pub fn max_pool(&mut self, name: impl Into<String>, x: Value, k: usize, stride: usize) -> Value {
        self.window(Op::MaxPool, name.into(), x, Facts { k, stride, cout: x.c, groups: 1, act: Act::None })
    }

    /// The average of a window, of its pixels inside the image or, where padding counts, of all.
    pub fn avg_pool(
        &mut self,
        name: impl Into<String>,
        x: Value,
        k: usize,
        stride: usize,
        count_include_pad: bool,
    ) -> Value {
        let y = self.window(Op::AvgPool, name.into(), x, Facts { k, stride, cout: x.c, groups: 1, act: Act::None });
        self.last().count_include_pad = count_include_pad;
        y
    }

    /// Every `stride`th pixel in both directions, beginning with the one at `(first, first)`; zeros outside the image.
    pub fn subsample(&mut self, name: impl Into<String>, x: Value, stride: usize, first: usize) -> Value {
        let size = [x.h, x.w].map(|size| size.div_ceil(stride));
        let first = first.cast_signed();
        let pad = Sides([-first, first, -first, first]);
        let facts = Facts { k: 1, stride, cout: x.c, groups: 1, act: Act::None };
        self.layer(Op::AvgPool, name.into(), &[x], pad, size, facts)
    }

    /// The average of all pixels.
    pub fn gap(&mut self, name: impl Into<String>, x: Value) -> Value {
        let facts = Facts { k: 1, stride: 1, cout: x.c, groups: 1, act: Act::None };
        self.layer(Op::Gap, name.into(), &[x], Sides([0; 4]), [1, 1], facts)
    }
}

//! A network as its paper has it, made into layers that operators can do.
//!
//! - A ReLU in front of a layer goes to the end of the layer that makes its input, where all that read it want the ReLU;
//!   else it becomes a layer of its own, once for all that want it.
//! - A sigmoid is a layer of its own.
//! - An addition behind a convolution becomes its residual.
//! - Every second pixel from the second one on is a 2x2 depthwise convolution with one weight of 1.
//! - Shuffles go into weights, see [`crate::shuffles`].
//!
//! Without shuffles the values stay those of the network as it was, bit for bit.

use crate::{
    graph::Graph,
    layer::{Act, Layer, Op, Sides},
    model::Parameters,
    shuffles::fold,
};

/// The network in layers that operators can do, and their parameters; none are made of none.
pub fn simplify(graph: &Graph, mut parameters: Vec<Parameters>) -> (Graph, Vec<Parameters>) {
    let mut layers = graph.layers.clone();
    let wanted = move_relus(&mut layers);
    let residuals = residuals(&layers);
    let mut made = Made { layers: Vec::new(), parameters: Vec::new(), values: vec![0], relus: vec![None] };
    parameters.resize(layers.len(), Parameters::default());
    for (i, layer) in layers.iter().enumerate() {
        if residuals.iter().any(|&(conv, _)| conv == i) {
            made.skip();
            continue;
        }
        // A convolution runs where its addition was: there both operands are known.
        let conv = residuals.iter().find(|&&(_, add)| add == i).map(|&(conv, _)| conv);
        let source = conv.unwrap_or(i);
        let mut run = layers[source].clone();
        let inputs: Vec<_> = run.inputs.iter().zip(&wanted[source]).map(|(&value, &relu)| (value, relu)).collect();
        run.inputs = inputs.into_iter().map(|(value, relu)| made.input(value, relu)).collect();
        run.shape.pre_act = Act::None;
        if let Some(conv) = conv {
            let other = layer.inputs.iter().copied().find(|&value| value != conv + 1).unwrap_or(0);
            run.inputs.push(made.input(other, false));
            run.shape.act = layer.shape.act;
        }
        made.push(run, std::mem::take(&mut parameters[source]));
    }
    fold(Graph { layers: made.layers, ..graph.clone() }, made.parameters)
}

/// For each layer, which of its inputs are still wanted with a ReLU after as many as can have gone to where inputs are
/// made.
fn move_relus(layers: &mut [Layer]) -> Vec<Vec<bool>> {
    let mut wanted: Vec<_> =
        layers.iter().map(|layer| vec![layer.shape.pre_act == Act::Relu; layer.inputs.len()]).collect();
    for i in (0..layers.len()).rev() {
        let readers: Vec<_> = readers(layers, i + 1).collect();
        let all = !readers.is_empty() && readers.iter().all(|&(layer, input)| wanted[layer][input]);
        let shape = &mut layers[i].shape;
        let can = shape.is_conv() || matches!(shape.op, Op::Add | Op::Concat);
        if all && can && shape.act == Act::None {
            shape.act = Act::Relu;
            readers.iter().for_each(|&(layer, input)| wanted[layer][input] = false);
        }
        // A concat has nothing to apply it to but its inputs.
        if shape.op == Op::Concat && shape.act == Act::Relu {
            shape.act = Act::None;
            wanted[i].fill(true);
        }
    }
    // What is positive already stays as it is.
    let mut positive = vec![false];
    for (layer, wanted) in layers.iter().zip(&mut wanted) {
        let inputs = layer.inputs.iter().zip(wanted);
        let inputs = inputs.fold(true, |all, (&value, wanted)| {
            let is = positive[value];
            let all = all && (is || *wanted);
            *wanted &= !is;
            all
        });
        let keeps = !layer.shape.is_conv() && layer.shape.op != Op::Fc;
        positive.push(layer.shape.act != Act::None || keeps && inputs);
    }
    wanted
}

/// The layers that read a value, and as which of their inputs.
fn readers(layers: &[Layer], value: usize) -> impl Iterator<Item = (usize, usize)> {
    let inputs = move |(i, layer): (usize, &Layer)| {
        let of_layer = layer.inputs.iter().enumerate().filter(move |&(_, &input)| input == value);
        of_layer.map(|(input, _)| (i, input)).collect::<Vec<_>>()
    };
    layers.iter().enumerate().flat_map(inputs)
}

/// Convolutions that are read by one addition alone, with that addition: the later one where there are two.
fn residuals(layers: &[Layer]) -> Vec<(usize, usize)> {
    let of_add = |(add, layer): (usize, &Layer)| {
        let conv = |&value: &usize| {
            let conv = value.checked_sub(1)?;
            let shape = &layers[conv].shape;
            (shape.is_conv() && shape.act == Act::None && readers(layers, value).count() == 1).then_some(conv)
        };
        (layer.shape.op == Op::Add).then(|| layer.inputs.iter().filter_map(conv).max())?.map(|conv| (conv, add))
    };
    layers.iter().enumerate().filter_map(of_add).collect()
}

/// What has been made.
struct Made {
    layers: Vec<Layer>,
    parameters: Vec<Parameters>,
    /// The value for each value of the network as it was, and the one after a ReLU.
    values: Vec<usize>,
    relus: Vec<Option<usize>>,
}

impl Made {
    /// The value for one of the network as it was.
    fn input(&mut self, value: usize, relu: bool) -> usize {
        let plain = self.values[value];
        if !relu {
            return plain;
        }
        if let Some(value) = self.relus[value] {
            return value;
        }
        // Only of what a layer puts out: an image is not read with a ReLU.
        let of = &self.layers[plain - 1];
        self.add(of.elementwise(Op::Relu, plain), Parameters::default());
        self.relus[value] = Some(self.layers.len());
        self.layers.len()
    }

    /// A layer whose output nobody reads.
    fn skip(&mut self) {
        self.values.push(usize::MAX);
        self.relus.push(None);
    }

    fn push(&mut self, mut layer: Layer, parameters: Parameters) {
        let sigmoid = layer.shape.act == Act::Sigmoid;
        if sigmoid {
            layer.shape.act = Act::None;
        }
        let (layer, parameters) = if layer.shape.crops() { one_weight(layer) } else { (layer, parameters) };
        self.add(layer, parameters);
        if sigmoid {
            let value = self.layers.len();
            self.add(self.layers[value - 1].elementwise(Op::Sigmoid, value), Parameters::default());
        }
        self.values.push(self.layers.len());
        self.relus.push(None);
    }

    fn add(&mut self, layer: Layer, parameters: Parameters) {
        self.layers.push(layer);
        self.parameters.push(parameters);
    }
}

/// Every `stride`th pixel from a later one than the first on, as a convolution whose last weight alone is not zero.
fn one_weight(mut layer: Layer) -> (Layer, Parameters) {
    let shape = &mut layer.shape;
    let [top, ..] = shape.pad.0;
    shape.k = 1 + top.unsigned_abs();
    let after = |out: usize, size: usize| ((out - 1) * shape.stride + shape.k).saturating_sub(size).cast_signed();
    shape.pad = Sides([0, after(shape.hout, shape.hin), 0, after(shape.wout, shape.win)]);
    (shape.op, shape.groups) = (Op::DwConv, shape.cin);
    let mut weights = vec![0.0; shape.k * shape.k * shape.cin];
    let last = weights.len() - shape.cin;
    weights[last..].fill(1.0);
    let bias = vec![0.0; shape.cin];
    (layer, Parameters { weights, bias })
}

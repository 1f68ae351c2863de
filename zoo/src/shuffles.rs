//! Shuffles of channels folded into weights.
//!
//! Splits, concats and shuffles say which channels of which outputs a convolution reads, and in which order. The order is
//! as good as any other if the weights follow it; so a shuffle is not run. Each output keeps the channels together that are
//! read together: its weights are ordered by who reads their channels first. Then what a convolution reads are a few runs
//! of channels, one of each output, which a concat copies side by side: the data of the branch, once.
//!
//! Sums have their terms in the new order; so the f32 values are those of the network with its channels in another order,
//! and differ from those of the paper's by rounding. Of bytes all values stay.

use crate::{
    graph::Graph,
    layer::{Act, Layer, Op, Shape, Sides},
    model::Parameters,
};

/// The network without shuffles, if none but convolutions of all channels or of each by itself read what they make; else
/// the network as it is.
pub fn fold(graph: Graph, parameters: Vec<Parameters>) -> (Graph, Vec<Parameters>) {
    let channels = channels(&graph);
    let folds = graph.layers.iter().any(|layer| layer.shape.op == Op::Shuffle)
        && graph.layers.iter().filter(|layer| !moves(&layer.shape)).all(|layer| {
            let whole = |&value: &usize| is_whole(&channels[value], &graph);
            let any_order = layer.shape.is_conv() && (layer.shape.groups == 1 || is_depthwise(&layer.shape));
            layer.inputs.iter().skip(1).all(whole) && (any_order || layer.inputs.first().is_none_or(whole))
        });
    if !folds {
        return (graph, parameters);
    }
    let mut made = Made {
        graph: &graph,
        first_reader: first_readers(&graph, &channels),
        layers: Vec::new(),
        parameters: Vec::new(),
        values: vec![0; graph.values()],
        orders: vec![(0..graph.input[2]).collect()],
        joined: Vec::new(),
    };
    for (i, (layer, parameters)) in graph.layers.iter().zip(parameters).enumerate() {
        made.orders.push(Vec::new());
        if !moves(&layer.shape) {
            made.layer(i, layer, parameters, &channels);
        }
    }
    let Made { layers, parameters, .. } = made;
    (Graph { layers, ..graph }, parameters)
}

/// A channel of a value that a layer computes, or of the image.
type Channel = (usize, usize);

/// Whether a layer only says where channels are.
fn moves(shape: &Shape) -> bool {
    shape.is_view() || shape.op == Op::Shuffle
}

fn is_depthwise(shape: &Shape) -> bool {
    shape.op == Op::DwConv && shape.groups == shape.cin && shape.cout == shape.cin
}

/// What the channels of each value are.
fn channels(graph: &Graph) -> Vec<Vec<Channel>> {
    let mut channels: Vec<Vec<Channel>> = vec![(0..graph.input[2]).map(|c| (0, c)).collect()];
    for (i, Layer { shape, inputs, .. }) in graph.layers.iter().enumerate() {
        let input = |at: usize| &channels[inputs[at]];
        let of_layer = match shape.op {
            Op::Split => input(0)[shape.offset..][..shape.cout].to_vec(),
            Op::Concat => inputs.iter().flat_map(|&value| &channels[value]).copied().collect(),
            Op::Shuffle => {
                let each = shape.cin / shape.groups;
                (0..shape.cin).map(|c| input(0)[c % shape.groups * each + c / shape.groups]).collect()
            }
            _ => (0..shape.cout).map(|c| (i + 1, c)).collect(),
        };
        channels.push(of_layer);
    }
    channels
}

/// Whether these are all channels of one value in their order.
fn is_whole(channels: &[Channel], graph: &Graph) -> bool {
    let value = channels[0].0;
    channels.len() == graph.shape(value)[2] && channels.iter().enumerate().all(|(c, &channel)| channel == (value, c))
}

/// The first layer that reads each channel of each value; those that nobody reads come last.
fn first_readers(graph: &Graph, channels: &[Vec<Channel>]) -> Vec<Vec<usize>> {
    let mut first: Vec<Vec<usize>> = (0..graph.values()).map(|value| vec![usize::MAX; graph.shape(value)[2]]).collect();
    for (i, layer) in graph.layers.iter().enumerate().filter(|(_, layer)| !moves(&layer.shape)) {
        for &(value, c) in layer.inputs.iter().flat_map(|&value| &channels[value]) {
            first[value][c] = first[value][c].min(i);
        }
    }
    first
}

/// What has been made.
struct Made<'a> {
    graph: &'a Graph,
    first_reader: Vec<Vec<usize>>,
    layers: Vec<Layer>,
    parameters: Vec<Parameters>,
    /// The new value for each, and the order of its channels.
    values: Vec<usize>,
    orders: Vec<Vec<usize>>,
    /// What concats have put together, and where it is.
    joined: Vec<(Vec<Channel>, usize)>,
}

impl Made<'_> {
    fn layer(&mut self, i: usize, layer: &Layer, parameters: Parameters, channels: &[Vec<Channel>]) {
        let (x, order) = self.read(&layer.name, &channels[layer.inputs[0]]);
        let mut inputs = vec![x];
        inputs.extend(layer.inputs.iter().skip(1).map(|&value| self.values[channels[value][0].0]));
        let shape = &layer.shape;
        let mut output: Vec<usize> = (0..shape.cout).collect();
        let parameters = if is_depthwise(shape) {
            output.clone_from(&order);
            permute(parameters, &output, |weights| pick(weights, shape.cout, &order))
        } else if shape.is_conv() && shape.groups == 1 {
            // Where all that is read is read by the same layers nothing moves.
            output.sort_by_key(|&c| self.first_reader[i + 1][c]);
            let row = parameters.weights.len() / shape.cout;
            permute(parameters, &output, |weights| {
                let rows: Vec<f32> = output.iter().flat_map(|&c| &weights[c * row..][..row]).copied().collect();
                pick(&rows, shape.cin, &order)
            })
        } else {
            parameters
        };
        self.layers.push(Layer { inputs, ..layer.clone() });
        self.parameters.push(parameters);
        self.values[i + 1] = self.layers.len();
        self.orders[i + 1] = output;
    }

    /// A value with these channels, and which of them its channels are.
    fn read(&mut self, reader: &str, channels: &[Channel]) -> (usize, Vec<usize>) {
        let mut bases: Vec<usize> = channels.iter().map(|channel| channel.0).collect();
        bases.sort_unstable();
        bases.dedup();
        // Channels in the order in which they lie, value by value, in runs.
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        let mut order = Vec::new();
        for &base in &bases {
            for (at, &c) in self.orders[base].iter().enumerate() {
                let Some(index) = channels.iter().position(|&channel| channel == (base, c)) else { continue };
                order.push(index);
                match runs.last_mut() {
                    Some((value, start, len)) if *value == base && *start + *len == at => *len += 1,
                    _ => runs.push((base, at, 1)),
                }
            }
        }
        if let [(base, 0, len)] = runs[..]
            && len == self.orders[base].len()
        {
            return (self.values[base], order);
        }
        let list: Vec<Channel> = order.iter().map(|&index| channels[index]).collect();
        if let Some((_, value)) = self.joined.iter().find(|(known, _)| *known == list) {
            return (*value, order);
        }
        let parts: Vec<usize> = runs.iter().map(|&(base, start, len)| self.split(base, start, len)).collect();
        let value = if let [part] = parts[..] { part } else { self.concat(reader, parts, list.len()) };
        self.joined.push((list, value));
        (value, order)
    }

    /// A run of channels of a value.
    fn split(&mut self, base: usize, offset: usize, len: usize) -> usize {
        let value = self.values[base];
        if len == self.orders[base].len() {
            return value;
        }
        let of = &self.graph.layers[base - 1];
        let mut split = of.elementwise(Op::Split, value);
        split.name = format!("{}.{offset}", of.name);
        (split.shape.offset, split.shape.cout) = (offset, len);
        self.add(split)
    }

    fn concat(&mut self, reader: &str, parts: Vec<usize>, c: usize) -> usize {
        let Shape { hout, wout, .. } = self.layers[parts[0] - 1].shape;
        let like = self.layers[parts[0] - 1].shape;
        let size = Shape { hin: hout, win: wout, cin: c, cout: c, k: 1, stride: 1, groups: 1, ..like };
        let shape = Shape { op: Op::Concat, pad: Sides([0; 4]), act: Act::None, offset: 0, macs: 0, ..size };
        self.add(Layer { name: format!("{reader}.input"), inputs: parts, shape })
    }

    fn add(&mut self, layer: Layer) -> usize {
        self.layers.push(layer);
        self.parameters.push(Parameters::default());
        self.layers.len()
    }
}

fn permute(parameters: Parameters, output: &[usize], weights: impl Fn(&[f32]) -> Vec<f32>) -> Parameters {
    if parameters.weights.is_empty() {
        return parameters;
    }
    let bias = output.iter().map(|&c| parameters.bias[c]).collect();
    Parameters { weights: weights(&parameters.weights), bias }
}

/// Rows of `len` values, each in another order.
fn pick(rows: &[f32], len: usize, order: &[usize]) -> Vec<f32> {
    rows.chunks_exact(len).flat_map(|row| order.iter().map(|&i| row[i])).collect()
}

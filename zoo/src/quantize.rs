//! The quantiser: from a network in f32, and what its layers put out, to one in bytes.

use crate::{
    calibrate::{Observed, Ranges},
    graph::Graph,
    layer::{Op, Shape},
    model::{Model, Parameters, Preprocess},
    photo,
    quantized::{QuantizedModel, QuantizedParameters},
};
use kolibri::{QuantParams, weight_scale};

/// Quantises a network; `observed` are its input and the output of each layer.
///
/// Activations get one scale a tensor, the input's that of all pixels there can be; those that operators put through as they
/// are, or side by side, have one between them. Weights get a scale for each output channel. A residual keeps the scale of
/// the layer that it comes from: the operators rescale it.
pub fn quantize(model: &Model, observed: &[Observed], ranges: Ranges) -> QuantizedModel {
    let graph = &model.graph;
    let tied = tied(graph);
    let (min, max) = input_range(&model.preprocess);
    let params = |value: usize| match value.checked_sub(1).map(|layer| graph.layers[layer].shape.op) {
        _ if tied[value] == 0 => QuantParams::for_range::<u8>(min, max),
        // From 0 to 1, whatever was seen.
        Some(Op::Sigmoid) => QuantParams::new(1.0 / 256.0, 0),
        _ => observed[value].params(ranges),
    };
    let activations: Vec<_> = (0..graph.values()).map(params).collect();
    let parameters = graph.layers.iter().zip(&model.parameters).map(|(layer, parameters)| {
        let x = layer.inputs[0];
        quantize_weights(&layer.shape, parameters, &activations[x], &observed[x])
    });
    QuantizedModel {
        ranges,
        preprocess: model.preprocess.clone(),
        graph: graph.clone(),
        parameters: parameters.collect(),
        activations,
    }
}

/// For each value the first of those that stand for the same reals byte by byte.
pub fn tied(graph: &Graph) -> Vec<usize> {
    let mut tied: Vec<usize> = (0..graph.values()).collect();
    for (i, layer) in graph.layers.iter().enumerate() {
        if matches!(layer.shape.op, Op::Split | Op::Concat | Op::Shuffle | Op::MaxPool | Op::AvgPool | Op::Relu) {
            for &input in &layer.inputs {
                let (a, b) = (tied[input], tied[i + 1]);
                tied.iter_mut().filter(|first| [a, b].contains(first)).for_each(|first| *first = a.min(b));
            }
        }
    }
    tied
}

/// Of all that pixels can become.
fn input_range(preprocess: &Preprocess) -> (f32, f32) {
    let ends = photo::normalise(&[0, 0, 0, 255, 255, 255], preprocess);
    ends.iter().fold((0.0, 0.0), |(min, max), &x| (x.min(min), x.max(max)))
}

/// Leaves room for the sum.
const LARGEST_BIAS: f32 = (1 << 30) as f32;

fn quantize_weights(shape: &Shape, parameters: &Parameters, x: &QuantParams, seen: &Observed) -> QuantizedParameters {
    let Parameters { weights, bias } = parameters;
    if weights.is_empty() {
        return QuantizedParameters::default();
    }
    // Depthwise weights are `[k, k, c]`, others `[cout, .., cin]`.
    let (each, group_cin) = (weights.len() / shape.cout, shape.cin / shape.groups);
    let depthwise = shape.op == Op::DwConv;
    let of = |c: usize| (0..each).map(move |i| if depthwise { i * shape.cout + c } else { c * each + i });
    let input_channel = |c: usize, i: usize| c / (shape.cout / shape.groups) * group_cin + i % group_cin;

    let mut quantized = QuantizedParameters { weights: vec![0; weights.len()], scales: Vec::new(), bias: Vec::new() };
    for (c, &bias) in bias.iter().enumerate() {
        // No finer than the bias allows, which a channel of all but zero weights would otherwise take out of i32.
        let scale = weight_scale(of(c).map(|i| weights[i])).max(bias.abs() / x.scale / LARGEST_BIAS);
        // Rounded weights shift the mean of the output, by as much as the mean of the input says: the bias takes it back.
        let mut shift = 0.0;
        for i in of(c) {
            let byte = QuantParams::new(scale, 0).quantise::<i8>(weights[i]);
            let rounded = f64::from(byte) * f64::from(scale) - f64::from(weights[i]);
            shift += rounded * seen.mean(input_channel(c, i));
            quantized.weights[i] = byte;
        }
        let bias = (f64::from(bias) - shift) / (f64::from(x.scale) * f64::from(scale));
        quantized.bias.push(bias.round_ties_even() as i32);
        quantized.scales.push(scale);
    }
    quantized
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use serde_json::json;

    /// On a window.
    fn shape(op: &str, k: usize, cin: usize, cout: usize, groups: usize) -> Shape {
        serde_json::from_value(json!({
            "op": op, "k": k, "stride": 1, "pad": [0, 0, 0, 0], "cin": cin, "cout": cout, "groups": groups,
            "hin": k, "win": k, "hout": 1, "wout": 1, "act": "none", "macs": 0,
        }))
        .expect("a shape")
    }

    /// Of inputs that are what they usually are, the output is as in f32 but for the rounding of the bias: however coarse
    /// the weights, and in every layout.
    #[test]
    fn rounded_weights_do_not_shift_the_mean() {
        let shapes = [
            shape("pwconv", 1, 40, 6, 1),
            shape("conv", 3, 3, 6, 1),
            shape("dwconv", 3, 10, 10, 10),
            shape("gconv", 1, 12, 6, 3),
            shape("gconv", 3, 12, 6, 3),
        ];
        for shape in shapes {
            let mut random = Random::default();
            let channels = random.values(shape.cin);
            let seen = Observed::of(shape.cin, &channels.repeat(shape.k * shape.k));
            let weights = random.values(shape.weight_shape().iter().product());
            let parameters = Parameters { weights, bias: random.values(shape.cout) };
            let x = QuantParams::new(0.001, 7);
            let quantized = quantize_weights(&shape, &parameters, &x, &seen);
            let real = |c: usize, at: usize| f64::from(quantized.weights[at]) * f64::from(quantized.scales[c]);
            let mut shifted = 0.0f64;
            for c in 0..shape.cout {
                let (mut f32, mut int8, mut weights_alone) = (0.0, 0.0, 0.0);
                for tap in 0..shape.k * shape.k {
                    for i in 0..shape.cin / shape.groups {
                        let each = shape.cin / shape.groups;
                        let (input, at) = match shape.op {
                            Op::DwConv => (c, tap * shape.cout + c),
                            _ => (c * shape.groups / shape.cout * each + i, (c * shape.k * shape.k + tap) * each + i),
                        };
                        let x = f64::from(channels[input]);
                        f32 += x * f64::from(parameters.weights[at]);
                        int8 += x * real(c, at);
                        weights_alone += x * (real(c, at) - f64::from(parameters.weights[at]));
                    }
                }
                let unit = f64::from(x.scale) * f64::from(quantized.scales[c]);
                f32 += f64::from(parameters.bias[c]);
                int8 += f64::from(quantized.bias[c]) * unit;
                assert!((f32 - int8).abs() <= 0.51 * unit, "{shape:?} {c}: {f32} {int8}");
                shifted = shifted.max(weights_alone.abs() / unit);
            }
            assert!(shifted > 1.0, "{shape:?}: the weights alone would not have shifted it");
        }
    }

    /// A channel of all but zero weights, as trained networks have them.
    #[test]
    fn biases_keep_their_value() {
        let shape = shape("pwconv", 1, 1, 2, 1);
        let parameters = Parameters { weights: vec![1e-20, -1e-20], bias: vec![3.0, -0.5] };
        let x = QuantParams::new(0.02, 0);
        let quantized = quantize_weights(&shape, &parameters, &x, &Observed::of(1, &[0.0]));
        for ((bias, scale), value) in quantized.bias.iter().zip(&quantized.scales).zip(&parameters.bias) {
            let kept = f64::from(*bias) * f64::from(x.scale) * f64::from(*scale);
            assert!((kept / f64::from(*value) - 1.0).abs() < 1e-6, "{kept} for {value}");
        }
    }
}

//! Networks by [`kolibri::reference`]: slow, and what levels equal bit for bit.

use crate::{
    graph::Graph,
    layer::{Act, Op, Shape},
    model::Parameters,
    operator::{self, Bytes},
    quantized::QuantizedModel,
};
use anyhow::{Context, Result, ensure};
use kolibri::{Activation, Element, Error, Image, ImageMut, Quantization, Requantization, reference};

/// The logits, in f32, of a network as its paper has it or as [`crate::simplify`] leaves it. Levels with a fused
/// multiply-add equal them.
///
/// # Errors
/// As [`crate::network::Network::run`].
pub fn run(graph: &Graph, parameters: &[Parameters], input: &[f32]) -> Result<Vec<f32>> {
    each(graph, input, |i, shape, inputs, y| {
        let (w, bias) = (&parameters[i].weights[..], Some(&parameters[i].bias[..]));
        let before: Vec<Vec<f32>>;
        let mut inputs = inputs.to_vec();
        if shape.pre_act == Act::Relu {
            let relu = |x: &&[f32]| x.iter().map(|&x| reference::activate(x, Activation::Relu)).collect();
            before = inputs.iter().map(relu).collect();
            inputs = before.iter().map(Vec::as_slice).collect();
        }
        let x = inputs[0];
        match shape.op {
            _ if shape.is_conv() => {
                let residual = inputs.get(1).map(|residual| image(shape, residual)).transpose()?;
                let (x, out, w) = (input_image(shape, x)?, output_image(shape, y)?, operator::weights(shape, w));
                reference::conv2d(x, residual, out, &shape.geometry(), w, bias, shape.activation())?;
            }
            Op::Fc => reference::fully_connected(x, 1, y, shape.cin, shape.cout, w, bias, shape.activation())?,
            Op::Gap => reference::global_average(input_image(shape, x)?, output_image(shape, y)?)?,
            Op::Add => {
                reference::add(image(shape, x)?, image(shape, inputs[1])?, output_image(shape, y)?, shape.activation())?
            }
            Op::AvgPool if shape.crops() => subsample(shape, x, y),
            Op::AvgPool => {
                let (x, y) = (input_image(shape, x)?, output_image(shape, y)?);
                reference::avg_pool(x, y, &shape.window(), shape.count_include_pad)?
            }
            Op::MaxPool => reference::max_pool(input_image(shape, x)?, output_image(shape, y)?, &shape.window())?,
            Op::Mul => reference::channel_scale(image(shape, x)?, inputs[1], output_image(shape, y)?)?,
            Op::Sigmoid => y.iter_mut().zip(x).for_each(|(y, &x)| *y = reference::sigmoid(x)),
            Op::Relu => y.iter_mut().zip(x).for_each(|(y, &x)| *y = reference::activate(x, Activation::Relu)),
            _ => moved(shape, &inputs, y)?,
        }
        match shape.act {
            Act::Sigmoid => y.iter_mut().for_each(|y| *y = reference::sigmoid(*y)),
            Act::Relu if shape.op == Op::Concat => {
                y.iter_mut().for_each(|y| *y = reference::activate(*y, Activation::Relu));
            }
            _ => {}
        }
        Ok(())
    })
}

/// The bytes of the logits. Every level equals them.
///
/// # Errors
/// As [`run`].
pub fn run_quantized(model: &QuantizedModel, input: &[u8]) -> Result<Vec<u8>> {
    each(&model.graph, input, |i, shape, inputs, y| {
        let parameters = &model.parameters[i];
        let Bytes { x: of_x, y: of_y, other } = model.bytes(i);
        let (w, bias) = (&parameters.weights[..], Some(&parameters.bias[..]));
        let mode = Requantization::FloatScale;
        let q = &Quantization { x: of_x, weight_scales: &parameters.scales, y: of_y, residual: other, mode };
        let x = inputs[0];
        match shape.op {
            _ if shape.is_conv() => {
                let residual = inputs.get(1).map(|residual| image(shape, residual)).transpose()?;
                let (x, y, w) = (input_image(shape, x)?, output_image(shape, y)?, operator::weights(shape, w));
                reference::conv2d_quantized(x, residual, y, &shape.geometry(), w, bias, q, shape.activation())
            }
            Op::Fc => {
                reference::fully_connected_quantized(x, 1, y, shape.cin, shape.cout, w, bias, q, shape.activation())
            }
            Op::Gap => reference::global_average_quantized(input_image(shape, x)?, output_image(shape, y)?, of_x, of_y),
            Op::Add => {
                let (a, b, y) = (image(shape, x)?, image(shape, inputs[1])?, output_image(shape, y)?);
                reference::add_quantized(a, b, y, [of_x, other.unwrap_or(of_x), of_y], shape.activation())
            }
            Op::AvgPool => {
                let padding = shape.count_include_pad.then_some(of_x.zero_point);
                reference::avg_pool_quantized(input_image(shape, x)?, output_image(shape, y)?, &shape.window(), padding)
            }
            Op::Mul => {
                let params = [of_x, other.unwrap_or(of_x), of_y];
                reference::channel_scale_quantized(image(shape, x)?, inputs[1], output_image(shape, y)?, params)
            }
            Op::Sigmoid => reference::sigmoid_quantized(image(shape, x)?, output_image(shape, y)?, of_x, of_y),
            Op::Relu => {
                let zero = of_x.zero_point as u8;
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x.max(zero));
                Ok(())
            }
            Op::MaxPool => {
                reference::max_pool_quantized(input_image(shape, x)?, output_image(shape, y)?, &shape.window())
            }
            _ => moved(shape, inputs, y),
        }
    })
}

/// What only moves elements.
fn moved<T: Element>(shape: &Shape, inputs: &[&[T]], y: &mut [T]) -> Result<(), Error> {
    match shape.op {
        Op::Shuffle => {
            reference::channel_shuffle(input_image(shape, inputs[0])?, output_image(shape, y)?, shape.groups)
        }
        Op::Split => {
            let pixels = inputs[0].chunks_exact(shape.cin).map(|pixel| &pixel[shape.offset..][..shape.cout]);
            y.chunks_exact_mut(shape.cout).zip(pixels).for_each(|(y, x)| y.copy_from_slice(x));
            Ok(())
        }
        _ => {
            let pixels = shape.hout * shape.wout;
            for (pixel, y) in y.chunks_exact_mut(shape.cout).enumerate() {
                let parts = inputs.iter().flat_map(|x| x[pixel * x.len() / pixels..][..x.len() / pixels].iter());
                y.iter_mut().zip(parts).for_each(|(y, &x)| *y = x);
            }
            Ok(())
        }
    }
}

/// Pixels at `stride * i - pad`, zeros outside the image.
fn subsample(shape: &Shape, x: &[f32], y: &mut [f32]) {
    let [top, _, left, _] = shape.pad.0.map(|pad| (-pad).cast_unsigned());
    for (i, y) in y.chunks_exact_mut(shape.cout).enumerate() {
        let [h, w] = [top + i / shape.wout * shape.stride, left + i % shape.wout * shape.stride];
        match (h < shape.hin && w < shape.win).then(|| &x[(h * shape.win + w) * shape.cin..][..shape.cin]) {
            Some(x) => y.copy_from_slice(x),
            None => y.fill(0.0),
        }
    }
}

/// Calls `run(index, shape, inputs, y)` for each layer, and gives each a `y` of zeros.
fn each<T: Element + Default>(
    graph: &Graph,
    input: &[T],
    run: impl Fn(usize, &Shape, &[&[T]], &mut [T]) -> Result<(), Error>,
) -> Result<Vec<T>> {
    ensure!(input.len() == graph.input.iter().product::<usize>(), "input: of the wrong length");
    let mut values = vec![input.to_vec()];
    for (i, layer) in graph.layers.iter().enumerate() {
        let mut y = vec![T::default(); layer.shape.y_len()];
        let inputs: Vec<_> = layer.inputs.iter().map(|&value| &values[value][..]).collect();
        run(i, &layer.shape, &inputs, &mut y).with_context(|| layer.name.clone())?;
        values.push(y);
    }
    Ok(values.pop().unwrap_or_default())
}

fn input_image<'a, T>(shape: &Shape, x: &'a [T]) -> Result<Image<'a, T>, Error> {
    Image::nhwc(x, 1, shape.hin, shape.win, shape.cin)
}

/// Of the output's shape.
fn image<'a, T>(shape: &Shape, x: &'a [T]) -> Result<Image<'a, T>, Error> {
    Image::nhwc(x, 1, shape.hout, shape.wout, shape.cout)
}

fn output_image<'a, T>(shape: &Shape, y: &'a mut [T]) -> Result<ImageMut<'a, T>, Error> {
    ImageMut::nhwc(y, 1, shape.hout, shape.wout, shape.cout)
}

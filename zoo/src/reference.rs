//! Networks by [`kolibri::reference`]: slow, and what levels equal bit for bit.

use crate::{
    layer::{Layer, Op, Shape},
    model::Model,
    operator::{self, Bytes},
    quantized::QuantizedModel,
};
use anyhow::{Result, ensure};
use kolibri::{Element, Error, Image, ImageMut, Quantization, Requantization, reference};

/// The logits, in f32. Levels with a fused multiply-add equal them.
///
/// # Errors
/// As [`crate::network::Network::run`].
pub fn run(model: &Model, input: &[f32]) -> Result<Vec<f32>> {
    chain(&model.layers, input, |i, shape, x, residual, y| {
        let (w, bias) = (&model.parameters[i].weights[..], Some(&model.parameters[i].bias[..]));
        match shape.op {
            Op::Fc => reference::fully_connected(x, 1, y, shape.cin, shape.cout, w, bias, shape.activation()),
            Op::Gap => reference::global_average(input_image(shape, x)?, output_image(shape, y)?),
            _ => {
                let residual = residual.map(|residual| residual_image(shape, residual)).transpose()?;
                let (x, y, w) = (input_image(shape, x)?, output_image(shape, y)?, operator::weights(shape, w));
                reference::conv2d(x, residual, y, &shape.geometry(), w, bias, shape.activation())
            }
        }
    })
}

/// The bytes of the logits. Every level equals them.
///
/// # Errors
/// As [`run`].
pub fn run_quantized(model: &QuantizedModel, input: &[u8]) -> Result<Vec<u8>> {
    chain(&model.layers, input, |i, shape, x, residual, y| {
        let parameters = &model.parameters[i];
        let (w, bias, bytes) = (&parameters.weights[..], Some(&parameters.bias[..]), model.bytes(i));
        let q = &Quantization {
            x: bytes.x,
            weight_scales: &parameters.scales,
            y: bytes.y,
            residual: bytes.residual,
            mode: Requantization::FloatScale,
        };
        match shape.op {
            Op::Fc => {
                reference::fully_connected_quantized(x, 1, y, shape.cin, shape.cout, w, bias, q, shape.activation())
            }
            Op::Gap => {
                global_average(shape, &bytes, x, y);
                Ok(())
            }
            _ => {
                let residual = residual.map(|residual| residual_image(shape, residual)).transpose()?;
                let (x, y, w) = (input_image(shape, x)?, output_image(shape, y)?, operator::weights(shape, w));
                reference::conv2d_quantized(x, residual, y, &shape.geometry(), w, bias, q, shape.activation())
            }
        }
    })
}

/// `round_half_even((sum - n * x_zero) * (x_scale / (y_scale * n))) + y_zero`.
fn global_average(shape: &Shape, bytes: &Bytes, x: &[u8], y: &mut [u8]) {
    let n = shape.hin * shape.win;
    let scale = bytes.x.scale / (bytes.y.scale * n as f32);
    for (c, y) in y.iter_mut().enumerate() {
        let sum: i32 = x.iter().skip(c).step_by(shape.cin).map(|&x| i32::from(x) - bytes.x.zero_point).sum();
        let rounded = (sum as f32 * scale).round_ties_even() as i32;
        *y = (rounded + bytes.y.zero_point).clamp(0, 255) as u8;
    }
}

/// Calls `run(index, shape, x, residual, y)` for each layer.
fn chain<T: Element + Default>(
    layers: &[Layer],
    input: &[T],
    run: impl Fn(usize, &Shape, &[T], Option<&[T]>, &mut [T]) -> Result<(), Error>,
) -> Result<Vec<T>> {
    ensure!(input.len() == layers[0].shape.x_len(), "input: of the wrong length");
    let mut outputs: Vec<Vec<T>> = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let mut y = vec![T::default(); layer.shape.y_len()];
        let x = outputs.last().map_or(input, Vec::as_slice);
        let residual = layer.residual_from.map(|from| &outputs[from][..]);
        run(i, &layer.shape, x, residual, &mut y)?;
        outputs.push(y);
    }
    Ok(outputs.pop().unwrap_or_default())
}

fn input_image<'a, T>(shape: &Shape, x: &'a [T]) -> Result<Image<'a, T>, Error> {
    Image::nhwc(x, 1, shape.hin, shape.win, shape.cin)
}

fn residual_image<'a, T>(shape: &Shape, residual: &'a [T]) -> Result<Image<'a, T>, Error> {
    Image::nhwc(residual, 1, shape.hout, shape.wout, shape.cout)
}

fn output_image<'a, T>(shape: &Shape, y: &'a mut [T]) -> Result<ImageMut<'a, T>, Error> {
    ImageMut::nhwc(y, 1, shape.hout, shape.wout, shape.cout)
}

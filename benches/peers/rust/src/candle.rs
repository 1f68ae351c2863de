//! candle, with the network built from its layers as a user of candle builds one: NCHW, a depthwise convolution as a
//! convolution in groups.

use crate::{
    Engine,
    task::{Dtype, Task},
};
use anyhow::{Context, Result, ensure};
use candle_core::{D, Device, Module, Tensor, safetensors};
use candle_nn::{Activation, Conv2d, Conv2dConfig, Linear, ops::sigmoid};
use kolibri_zoo::layer::{Act, Layer, Op, Shape};
use std::collections::HashMap;

pub fn load(task: &Task) -> Result<Box<dyn Engine>> {
    ensure!(task.dtype == Dtype::F32, "f32 only");
    task.global_pool()?;
    let (graph, ([h, w], image)) = (task.graph()?, task.planes()?);
    let weights = safetensors::load_buffer(&task.file("f32.safetensors")?, &Device::Cpu)?;
    let readers = graph.readers();
    let step = |(i, layer): (usize, &Layer)| {
        let done = layer.inputs.iter().copied().filter(|&value| readers[value].last() == Some(&i)).collect();
        let work = work(layer, &weights).with_context(|| layer.name.clone())?;
        Ok(Step { layer: layer.clone(), done, work })
    };
    Ok(Box::new(Candle {
        steps: graph.layers.iter().enumerate().map(step).collect::<Result<_>>()?,
        image: Tensor::from_vec(image, (1, 3, h, w), &Device::Cpu)?,
    }))
}

struct Candle {
    steps: Vec<Step>,
    image: Tensor,
}

struct Step {
    layer: Layer,
    /// Values that nothing reads afterwards: memory that stays warm serves the next ones.
    done: Vec<usize>,
    work: Work,
}

/// From the inputs of a layer to its output, apart from activations.
type Work = Box<dyn Fn(&[Tensor]) -> candle_core::Result<Tensor>>;

impl Engine for Candle {
    fn run(&mut self) -> Result<Vec<f32>> {
        let mut values = vec![Some(self.image.clone())];
        for Step { layer, done, work } in &self.steps {
            let mut run = || -> Result<()> {
                let inputs = layer.inputs.iter().map(|&value| {
                    let x = values[value].as_ref().context("read after its last reader")?;
                    Ok(activate(x, layer.shape.pre_act)?)
                });
                let y = work(&inputs.collect::<Result<Vec<_>>>()?)?;
                done.iter().for_each(|&value| values[value] = None);
                values.push(Some(activate(&y, layer.shape.act)?));
                Ok(())
            };
            run().with_context(|| layer.name.clone())?;
        }
        let logits = values.pop().flatten().context("no layers")?;
        Ok(logits.flatten_all()?.to_vec1()?)
    }
}

fn activate(x: &Tensor, act: Act) -> candle_core::Result<Tensor> {
    match act {
        Act::None => Ok(x.clone()),
        Act::Relu => x.relu(),
        Act::Relu6 => Activation::Relu6.forward(x),
        Act::Sigmoid => sigmoid(x),
    }
}

fn work(layer: &Layer, weights: &HashMap<String, Tensor>) -> Result<Work> {
    let shape = layer.shape;
    let Shape { k, stride, pad, cout, groups, offset, .. } = shape;
    let [top, bottom, left, right] = pad.0;
    let padded = move |x: &Tensor| padded(x.clone(), [(2, top, bottom), (3, left, right)], Tensor::pad_with_zeros);
    let parameter = |what| {
        let name = format!("{}.{what}", layer.name);
        weights.get(&name).with_context(|| format!("no tensor {name}"))
    };
    Ok(match shape.op {
        _ if shape.is_conv() => {
            ensure!(layer.inputs.len() == 1, "a residual is a layer of its own in a paper's network");
            // candle pads on all sides alike.
            let alike = pad.0.iter().all(|&side| side == top);
            let padding = if alike { usize::try_from(top)? } else { 0 };
            let config = Conv2dConfig { padding, stride, groups, ..Conv2dConfig::default() };
            let conv = Conv2d::new(oihw(parameter("weight")?)?, Some(parameter("bias")?.clone()), config);
            if alike {
                Box::new(move |x| conv.forward(&x[0]))
            } else {
                Box::new(move |x| conv.forward(&padded(&x[0])?))
            }
        }
        Op::Fc => {
            let linear = Linear::new(parameter("weight")?.clone(), Some(parameter("bias")?.clone()));
            Box::new(move |x| linear.forward(&x[0].flatten_from(1)?)?.reshape((1, cout, 1, 1)))
        }
        Op::Add => Box::new(|x| &x[0] + &x[1]),
        Op::Mul => Box::new(|x| x[0].broadcast_mul(&x[1])),
        Op::Concat => Box::new(|x| Tensor::cat(x, 1)),
        Op::Split => Box::new(move |x| x[0].narrow(1, offset, cout)),
        Op::Shuffle => Box::new(move |x| {
            let (n, c, h, w) = x[0].dims4()?;
            x[0].reshape((n, groups, c / groups, h, w))?.transpose(1, 2)?.reshape((n, c, h, w))
        }),
        Op::Gap => Box::new(|x| x[0].mean_keepdim((D::Minus2, D::Minus1))),
        // A copy of the outermost pixel in the padding changes no maximum: its window has the pixel too.
        Op::MaxPool => Box::new(move |x| {
            let sides = [(2, top, bottom), (3, left, right)];
            self::padded(x[0].clone(), sides, Tensor::pad_with_same)?.max_pool2d_with_stride(k, stride)
        }),
        Op::AvgPool => match inside(&shape)? {
            None => Box::new(move |x| padded(&x[0])?.avg_pool2d_with_stride(k, stride)),
            Some(scale) => Box::new(move |x| padded(&x[0])?.avg_pool2d_with_stride(k, stride)?.broadcast_mul(&scale)),
        },
        Op::Relu => Box::new(|x| x[0].relu()),
        Op::Sigmoid => Box::new(|x| sigmoid(&x[0])),
        Op::Conv | Op::DwConv | Op::PwConv | Op::GConv => unreachable!("convolutions have been seen to"),
    })
}

/// The weights of a convolution in candle's order.
fn oihw(weights: &Tensor) -> candle_core::Result<Tensor> {
    match *weights.dims() {
        [cout, cin] => weights.reshape((cout, cin, 1, 1)),
        [_, _, _] => weights.permute((2, 0, 1))?.unsqueeze(1)?.contiguous(),
        _ => weights.permute((0, 3, 1, 2))?.contiguous(),
    }
}

/// With pixels before and after those of each dimension, or without its first or last where there are less than none.
fn padded(
    mut x: Tensor,
    sides: [(usize, isize, isize); 2],
    pad: impl Fn(&Tensor, usize, usize, usize) -> candle_core::Result<Tensor>,
) -> candle_core::Result<Tensor> {
    for (dim, before, after) in sides {
        let cropped = [before, after].map(|side| side.min(0).unsigned_abs());
        let len = x.dim(dim)? - cropped[0] - cropped[1];
        let [before, after] = [before, after].map(|side| side.max(0).unsigned_abs());
        x = pad(&x.narrow(dim, cropped[0], len)?, dim, before, after)?;
    }
    Ok(x)
}

/// What makes averages over whole windows averages over what of them is inside the image, where padding does not count.
fn inside(shape: &Shape) -> Result<Option<Tensor>> {
    let [top, _, left, _] = shape.pad.0;
    if shape.count_include_pad || shape.crops() || shape.pad.0 == [0; 4] {
        return Ok(None);
    }
    let part = |size: usize, out: usize, before: isize| -> Vec<f32> {
        let k = shape.k.cast_signed();
        let first = |i: usize| (i * shape.stride).cast_signed() - before;
        let inside = |i| (first(i) + k).min(size.cast_signed()) - first(i).max(0);
        (0..out).map(|i| k as f32 / inside(i) as f32).collect()
    };
    let column = Tensor::from_vec(part(shape.hin, shape.hout, top), (1, 1, shape.hout, 1), &Device::Cpu)?;
    let row = Tensor::from_vec(part(shape.win, shape.wout, left), (1, 1, 1, shape.wout), &Device::Cpu)?;
    Ok(Some(column.broadcast_mul(&row)?))
}

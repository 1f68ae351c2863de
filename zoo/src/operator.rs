//! A layer as an operator of kolibri.

use crate::{
    layer::{Op, Shape},
    model::Parameters,
    quantized::QuantizedParameters,
};
use kolibri::{
    Add, ChannelShuffle, Conv2d, Element, Error, FullyConnected, Image, ImageMut, Parallel, Pool2d, QuantParams,
    Quantization, Requantization, Weights, Workspace, kernels::Kernels,
};

/// What the bytes of a layer's operands stand for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Bytes {
    pub x: QuantParams,
    pub y: QuantParams,
    pub residual: Option<QuantParams>,
}

/// A layer's operator, with its shape.
pub struct Operator<T: Element = f32> {
    shape: Shape,
    kind: Kind<T>,
}

enum Kind<T: Element> {
    Conv(Conv2d<T>),
    Fc(FullyConnected<T>),
    /// What needs no workspace.
    Other {
        kernels: Vec<&'static str>,
        run: Box<Run<T>>,
    },
}

type Run<T> =
    dyn Fn(Image<'_, T>, Option<Image<'_, T>>, ImageMut<'_, T>, &dyn Parallel) -> Result<(), Error> + Send + Sync;

/// The weights of a layer in the layout that its kind has in files: depthwise `[k, k, c]`, others `[cout, .., cin]`.
pub fn weights<'a, W>(shape: &Shape, weights: &'a [W]) -> Weights<'a, W> {
    if shape.op == Op::DwConv { Weights::hwc(weights) } else { Weights::ohwi(weights) }
}

impl Operator<f32> {
    /// The operator for a shape that has one, see [`Shape::absent`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with shape or weights.
    pub fn new(kernels: &'static Kernels, shape: &Shape, parameters: &Parameters) -> Result<Self, Error> {
        let activation = shape.activation();
        let (w, bias) = (&parameters.weights[..], Some(&parameters.bias[..]));
        let pool = |pool: Pool2d| {
            let kernels = names(pool.kernel_names());
            Kind::other(kernels, move |x, _, y, threads| pool.run(x, y, threads))
        };
        let kind = match shape.op {
            Op::Fc => Kind::Fc(FullyConnected::f32_on(kernels, shape.cin, shape.cout, w, bias, activation)?),
            Op::Gap => pool(Pool2d::global_average_on(kernels)),
            Op::AvgPool => pool(Pool2d::average_on(kernels, shape.window(), shape.count_include_pad)?),
            Op::MaxPool => pool(Pool2d::max_on(kernels, shape.window())?),
            Op::Add => {
                let add = Add::f32_on(kernels, activation)?;
                let kernels = names(add.kernel_names());
                Kind::other(kernels, move |x, other, y, threads| add.run(x, other.unwrap_or(x), y, threads))
            }
            Op::Shuffle => {
                let shuffle = ChannelShuffle::new_on(kernels, shape.groups)?;
                let kernels = names(shuffle.kernel_names());
                Kind::other(kernels, move |x, _, y, threads| shuffle.run(x, y, threads))
            }
            _ => Kind::Conv(Conv2d::f32_on(kernels, &shape.geometry(), weights(shape, w), bias, activation)?),
        };
        Ok(Operator { shape: *shape, kind })
    }
}

impl Operator<u8> {
    /// The operator on bytes for a shape that has one, see [`Shape::absent_in_bytes`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with shape, weights or scales.
    pub fn quantized(
        kernels: &'static Kernels,
        shape: &Shape,
        parameters: &QuantizedParameters,
        bytes: &Bytes,
    ) -> Result<Self, Error> {
        let activation = shape.activation();
        let Bytes { x, y, residual } = *bytes;
        let (w, bias, weight_scales) = (&parameters.weights[..], Some(&parameters.bias[..]), &parameters.scales[..]);
        let q = &Quantization { x, weight_scales, y, residual, mode: Requantization::FloatScale };
        let pool = |pool: Pool2d<u8>| {
            let kernels = names(pool.kernel_names());
            Kind::other(kernels, move |x, _, y, threads| pool.run(x, y, threads))
        };
        let kind = match shape.op {
            Op::Fc => Kind::Fc(FullyConnected::quantized_on(kernels, shape.cin, shape.cout, w, bias, q, activation)?),
            Op::Gap => pool(Pool2d::global_average_quantized_on(kernels, x, y)?),
            Op::AvgPool => pool(Pool2d::quantized_average_on(kernels, shape.window())?),
            Op::MaxPool => pool(Pool2d::quantized_max_on(kernels, shape.window())?),
            Op::Add => {
                let add = Add::<u8>::quantized_on(kernels, x, residual.unwrap_or(x), y, activation)?;
                let kernels = names(add.kernel_names());
                Kind::other(kernels, move |x, other, y, threads| add.run(x, other.unwrap_or(x), y, threads))
            }
            Op::Shuffle => {
                let shuffle = ChannelShuffle::new_on(kernels, shape.groups)?;
                let kernels = names(shuffle.kernel_names_of::<u8>());
                Kind::other(kernels, move |x, _, y, threads| shuffle.run(x, y, threads))
            }
            _ => Kind::Conv(Conv2d::quantized_on(kernels, &shape.geometry(), weights(shape, w), bias, q, activation)?),
        };
        Ok(Operator { shape: *shape, kind })
    }
}

impl<T: Element> Operator<T> {
    /// Bytes of workspace for one image.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn workspace_len(&self, threads: usize) -> Result<usize, Error> {
        match &self.kind {
            Kind::Conv(conv) => conv.workspace_len([1, self.shape.hin, self.shape.win], threads),
            Kind::Fc(fc) => fc.workspace_len(1, threads),
            Kind::Other { .. } => Ok(0),
        }
    }

    /// The kernels that it uses.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Conv(conv) => conv.kernel_names(),
            Kind::Fc(fc) => fc.kernel_names(),
            Kind::Other { kernels, .. } => kernels.clone(),
        }
    }

    /// Runs it on one image. `other` is the residual of a convolution, or the second operand of an addition.
    ///
    /// # Errors
    /// Slices or a workspace of the wrong size.
    pub fn run(
        &self,
        x: &[T],
        other: Option<&[T]>,
        y: &mut [T],
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let Shape { hin, win, cin, hout, wout, cout, .. } = self.shape;
        if let Kind::Fc(fc) = &self.kind {
            return fc.run(x, 1, y, workspace, parallel);
        }
        let x = Image::nhwc(x, 1, hin, win, cin)?;
        let other = other.map(|other| Image::nhwc(other, 1, hout, wout, cout)).transpose()?;
        let y = ImageMut::nhwc(y, 1, hout, wout, cout)?;
        match &self.kind {
            Kind::Conv(conv) => conv.run(x, other, y, workspace, parallel),
            Kind::Other { run, .. } => run(x, other, y, parallel),
            Kind::Fc(_) => Ok(()),
        }
    }
}

impl<T: Element> Kind<T> {
    fn other(
        kernels: Vec<&'static str>,
        run: impl Fn(Image<'_, T>, Option<Image<'_, T>>, ImageMut<'_, T>, &dyn Parallel) -> Result<(), Error>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Kind::Other { kernels, run: Box::new(run) }
    }
}

fn names(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    names.collect()
}

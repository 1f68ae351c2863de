//! Layers as operators of kolibri.

use crate::{
    layer::{Layer, Op, Shape},
    model::Parameters,
    quantized::QuantizedParameters,
};
use kolibri::{
    Activate, Activation, Add, Chain, ChannelShuffle, Conv2d, Element, Error, FullyConnected, Image, ImageMut, Lookup,
    PackedWeights, Parallel, Pool2d, QuantParams, Quantization, Requantization, SqueezeExcite,
    SqueezeExciteQuantization, SqueezeExciteWeights, Weights, Workspace, copy, kernels::Kernels, reference,
};

/// What the bytes of a layer's operands stand for.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Bytes {
    pub x: QuantParams,
    pub y: QuantParams,
    /// Of a residual, or the second operand.
    pub other: Option<QuantParams>,
}

/// The operator of a layer, or of several that it does in one.
pub struct Operator<T: Element = f32> {
    /// Of the first.
    shape: Shape,
    kind: Kind<T>,
}

enum Kind<T: Element> {
    Conv(Conv2d<T>),
    Chain(Chain<T>),
    Fc(FullyConnected<T>),
    Excite(SqueezeExcite<T>),
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

/// The weights of a squeeze-excite, of which `layers` are the average and the products.
fn excite_weights<'a, W, B>(
    layers: &[Layer],
    (w_reduce, b_reduce): (&'a [W], Option<&'a [B]>),
    (w_expand, b_expand): (&'a [W], Option<&'a [B]>),
) -> SqueezeExciteWeights<'a, W, B> {
    let (c, reduced) = (layers[0].shape.cin, layers[1].shape.cout);
    SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand }
}

impl Operator<f32> {
    /// The operator for layers that have one, see [`crate::fuse`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with shapes or weights.
    pub fn new(kernels: &'static Kernels, layers: &[Layer], parameters: &[Parameters]) -> Result<Self, Error> {
        let shape = layers[0].shape;
        let of = |i: usize| (&parameters[i].weights[..], Some(&parameters[i].bias[..]));
        let conv = |i: usize| {
            let (shape, (w, bias)) = (&layers[i].shape, of(i));
            Conv2d::f32_on(kernels, &shape.geometry(), weights(shape, w), bias, shape.activation())
        };
        let pool = |pool: Pool2d| {
            let kernels = names(pool.kernel_names());
            Kind::other(kernels, move |x, _, y, threads| pool.run(x, y, threads))
        };
        let activate = |activation| {
            let activate = Activate::f32_on(kernels, activation)?;
            let kernels = names(activate.kernel_names());
            Ok(Kind::other(kernels, move |x, _, y, threads| activate.run(x, y, threads)))
        };
        let kind = match shape.op {
            Op::Gap if layers.len() > 1 => {
                Kind::Excite(SqueezeExcite::f32_on(kernels, &excite_weights(layers, of(1), of(2)))?)
            }
            _ if layers.len() > 1 => Kind::Chain(Chain::new((0..layers.len()).map(conv).collect::<Result<_, _>>()?)?),
            Op::Fc => {
                let (w, bias) = of(0);
                let activation = shape.activation();
                Kind::Fc(FullyConnected::f32_on(kernels, shape.cin, shape.cout, w, bias, activation)?)
            }
            Op::Gap => pool(Pool2d::global_average_on(kernels)),
            Op::AvgPool => pool(Pool2d::average_on(kernels, shape.window(), shape.count_include_pad)?),
            Op::MaxPool => pool(Pool2d::max_on(kernels, shape.window())?),
            Op::Add => {
                let add = Add::f32_on(kernels, shape.activation())?;
                let kernels = names(add.kernel_names());
                Kind::other(kernels, move |x, other, y, threads| add.run(x, other.unwrap_or(x), y, threads))
            }
            // Alone only where its parts are looked at: no matter how fast.
            Op::Mul => Kind::other(Vec::new(), |x, factors, y, _| reference::channel_scale(x, vector(&factors), y)),
            Op::Relu => activate(Activation::Relu)?,
            Op::Sigmoid => activate(Activation::Sigmoid)?,
            Op::Shuffle => shuffle(kernels, &shape)?,
            Op::Concat => Kind::copy(&shape),
            _ => Kind::Conv(conv(0)?),
        };
        Ok(Operator { shape, kind })
    }
}

impl Operator<u8> {
    /// The operator on bytes for layers that have one.
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with shapes, weights or scales.
    pub fn quantized(
        kernels: &'static Kernels,
        layers: &[Layer],
        parameters: &[QuantizedParameters],
        bytes: &[Bytes],
    ) -> Result<Self, Error> {
        let shape = layers[0].shape;
        let Bytes { x, y, other } = bytes[0];
        let mode = Requantization::FloatScale;
        let of = |i: usize| (&parameters[i].weights[..], Some(&parameters[i].bias[..]), &parameters[i].scales[..]);
        let quantization = |i: usize| {
            let Bytes { x, y, other: residual } = bytes[i];
            Quantization { x, weight_scales: of(i).2, y, residual, mode }
        };
        let conv = |i: usize| {
            let (shape, (w, bias, _)) = (&layers[i].shape, of(i));
            let activation = shape.activation();
            Conv2d::quantized_on(kernels, &shape.geometry(), weights(shape, w), bias, &quantization(i), activation)
        };
        let pool = |pool: Pool2d<u8>| {
            let kernels = names(pool.kernel_names());
            Kind::other(kernels, move |x, _, y, threads| pool.run(x, y, threads))
        };
        let lookup = |lookup: Lookup<u8>| {
            let kernels = names(lookup.kernel_names());
            Kind::other(kernels, move |x, _, y, threads| lookup.run(x, y, threads))
        };
        let kind = match shape.op {
            Op::Gap if layers.len() > 1 => {
                let ((w1, b1, reduce_scales), (w2, b2, expand_scales)) = (of(1), of(2));
                let (average, reduced, expanded) = (bytes[0].y, bytes[1].y, bytes[2].y);
                let (gate, y) = (bytes[3].y, bytes[4].y);
                let ends = SqueezeExciteQuantization {
                    x,
                    average,
                    reduce_scales,
                    reduced,
                    expand_scales,
                    expanded,
                    gate,
                    y,
                    mode,
                };
                let weights = excite_weights(layers, (w1, b1), (w2, b2));
                Kind::Excite(SqueezeExcite::quantized_on(kernels, &weights, &ends)?)
            }
            _ if layers.len() > 1 => Kind::Chain(Chain::new((0..layers.len()).map(conv).collect::<Result<_, _>>()?)?),
            Op::Fc => {
                let ((w, bias, _), q) = (of(0), &quantization(0));
                Kind::Fc(FullyConnected::quantized_on(kernels, shape.cin, shape.cout, w, bias, q, shape.activation())?)
            }
            Op::Gap => pool(Pool2d::global_average_quantized_on(kernels, x, y)?),
            Op::AvgPool => {
                let average = Pool2d::quantized_average_on(kernels, shape.window())?;
                pool(if shape.count_include_pad { average.counting_padding(x.zero_point)? } else { average })
            }
            Op::MaxPool => pool(Pool2d::quantized_max_on(kernels, shape.window())?),
            Op::Add => {
                let add = Add::<u8>::quantized_on(kernels, x, other.unwrap_or(x), y, shape.activation())?;
                let kernels = names(add.kernel_names());
                Kind::other(kernels, move |x, other, y, threads| add.run(x, other.unwrap_or(x), y, threads))
            }
            Op::Mul => {
                let params = [x, other.unwrap_or(x), y];
                Kind::other(Vec::new(), move |x, factors, y, _| {
                    reference::channel_scale_quantized(x, vector(&factors), y, params)
                })
            }
            Op::Relu => lookup(Lookup::rescale_on(kernels, x, y)?.with_activation(y, Activation::Relu, mode)?),
            Op::Sigmoid => lookup(Lookup::sigmoid_on(kernels, x, y)?),
            Op::Shuffle => shuffle(kernels, &shape)?,
            Op::Concat => Kind::copy(&shape),
            _ => Kind::Conv(conv(0)?),
        };
        Ok(Operator { shape, kind })
    }
}

impl<T: Element> Operator<T> {
    /// Bytes of workspace for one image.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn workspace_len(&self, threads: usize) -> Result<usize, Error> {
        let image = [1, self.shape.hin, self.shape.win];
        match &self.kind {
            Kind::Conv(conv) => conv.workspace_len(image, threads),
            Kind::Chain(chain) => chain.workspace_len(image, threads),
            Kind::Fc(fc) => fc.workspace_len(1, threads),
            Kind::Excite(excite) => excite.workspace_len(image, threads),
            Kind::Other { .. } => Ok(0),
        }
    }

    /// The operator that keeps its weights, if it has any.
    pub fn weights(&mut self) -> Option<&mut dyn PackedWeights> {
        match &mut self.kind {
            Kind::Conv(conv) => Some(conv),
            Kind::Chain(chain) => Some(chain),
            Kind::Fc(fc) => Some(fc),
            Kind::Excite(excite) => Some(excite),
            Kind::Other { .. } => None,
        }
    }

    /// The kernels that it uses.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Conv(conv) => conv.kernel_names(),
            Kind::Chain(chain) => chain.kernel_names(),
            Kind::Fc(fc) => fc.kernel_names(),
            Kind::Excite(excite) => excite.kernel_names(),
            Kind::Other { kernels, .. } => kernels.clone(),
        }
    }

    /// Runs it on one image. `other` is the residual of a convolution, or the second operand.
    ///
    /// # Errors
    /// Images or a workspace of the wrong size.
    pub fn run(
        &self,
        x: Image<'_, T>,
        other: Option<Image<'_, T>>,
        mut y: ImageMut<'_, T>,
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        match &self.kind {
            Kind::Conv(conv) => conv.run(x, other, y, workspace, parallel),
            Kind::Chain(chain) => chain.run(x, other, y, workspace, parallel),
            Kind::Fc(fc) => fc.run(vector(&Some(x)), 1, y.as_mut_slice().unwrap_or_default(), workspace, parallel),
            Kind::Excite(excite) => excite.run(x, y, workspace, parallel),
            Kind::Other { run, .. } => run(x, other, y, parallel),
        }
    }
}

impl<T: Element> Kind<T> {
    /// What a concat does by itself: its input becomes channels of its output.
    fn copy(shape: &Shape) -> Self {
        let channels = 0..shape.cin;
        Kind::other(Vec::new(), move |x, _, y, threads| copy(x, y.channels(channels.clone())?, threads))
    }

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

fn shuffle<T: Element>(kernels: &'static Kernels, shape: &Shape) -> Result<Kind<T>, Error> {
    let shuffle = ChannelShuffle::new_on(kernels, shape.groups)?;
    let kernels = names(shuffle.kernel_names_of::<T>());
    Ok(Kind::other(kernels, move |x, _, y, threads| shuffle.run(x, y, threads)))
}

/// An image of one pixel: nothing lies between its pixels.
fn vector<'a, T>(image: &Option<Image<'a, T>>) -> &'a [T] {
    image.as_ref().and_then(Image::as_slice).unwrap_or_default()
}

fn names(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    names.collect()
}

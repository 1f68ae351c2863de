//! A layer as an operator of kolibri.

use crate::layer::{Op, Shape};
use kolibri::{
    Add, ChannelShuffle, Conv2d, Error, FullyConnected, Image, ImageMut, Parallel, Pool2d, Weights, Workspace,
    kernels::Kernels,
};

/// A layer's operator, with its shape.
pub struct Operator {
    shape: Shape,
    kind: Kind,
}

enum Kind {
    Conv(Conv2d<f32>),
    Fc(FullyConnected<f32>),
    Pool(Pool2d),
    Add(Add),
    Shuffle(ChannelShuffle),
}

/// The weights of a layer in the layout that its kind has in files: depthwise `[k, k, c]`, others `[cout, .., cin]`.
pub fn weights<'a>(shape: &Shape, weights: &'a [f32]) -> Weights<'a> {
    if shape.op == Op::DwConv { Weights::hwc(weights) } else { Weights::ohwi(weights) }
}

impl Operator {
    /// The operator for a shape that has one, see [`Shape::absent`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with shape or weights.
    pub fn new(kernels: &'static Kernels, shape: &Shape, w: &[f32], bias: &[f32]) -> Result<Self, Error> {
        let activation = shape.activation();
        let kind = match shape.op {
            Op::Fc => Kind::Fc(FullyConnected::f32_on(kernels, shape.cin, shape.cout, w, Some(bias), activation)?),
            Op::Gap => Kind::Pool(Pool2d::global_average_on(kernels)),
            Op::AvgPool => Kind::Pool(Pool2d::average_on(kernels, shape.window(), shape.count_include_pad)?),
            Op::MaxPool => Kind::Pool(Pool2d::max_on(kernels, shape.window())?),
            Op::Add => Kind::Add(Add::f32_on(kernels, activation)?),
            Op::Shuffle => Kind::Shuffle(ChannelShuffle::new_on(kernels, shape.groups)?),
            _ => {
                let geometry = shape.geometry();
                Kind::Conv(Conv2d::f32_on(kernels, &geometry, weights(shape, w), Some(bias), activation)?)
            }
        };
        Ok(Operator { shape: *shape, kind })
    }

    /// Bytes of workspace for one image.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn workspace_len(&self, threads: usize) -> Result<usize, Error> {
        match &self.kind {
            Kind::Conv(conv) => conv.workspace_len([1, self.shape.hin, self.shape.win], threads),
            Kind::Fc(fc) => fc.workspace_len(1, threads),
            _ => Ok(0),
        }
    }

    /// The kernels that it uses.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Conv(conv) => names(conv.kernel_names()),
            Kind::Fc(fc) => names(fc.kernel_names()),
            Kind::Pool(pool) => names(pool.kernel_names()),
            Kind::Add(add) => names(add.kernel_names()),
            Kind::Shuffle(shuffle) => names(shuffle.kernel_names()),
        }
    }

    /// Runs it on one image. `other` is the residual of a convolution, or the second operand of an addition.
    ///
    /// # Errors
    /// Slices or a workspace of the wrong size.
    pub fn run(
        &self,
        x: &[f32],
        other: Option<&[f32]>,
        y: &mut [f32],
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
            Kind::Add(add) => add.run(x, other.unwrap_or(x), y, parallel),
            Kind::Pool(pool) => pool.run(x, y, parallel),
            Kind::Shuffle(shuffle) => shuffle.run(x, y, parallel),
            Kind::Fc(_) => Ok(()),
        }
    }
}

/// Some operators name their kernels by an iterator, others by a list.
fn names(names: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
    names.into_iter().collect()
}

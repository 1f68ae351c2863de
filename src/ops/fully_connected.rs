//! Fully connected layers: pointwise convolution of images of one pixel.

use super::{check_fully_connected, check_rows, conv2d::Conv2d};
use crate::{
    Activation, ConvGeometry, Element, Error, Image, ImageMut, Level, Parallel, Quantization, Quantized, Weights,
    Workspace,
    kernels::Kernels,
    packed::{Packed, Visit},
    quant::Ties,
};
use alloc::vec::Vec;

/// `y[b][o] = act(bias[o] + sum over i of x[b][i] * w[o][i])`, weights `[cout][cin]`; on bytes as in [`Conv2d`].
pub struct FullyConnected<T: Element = f32> {
    pub(super) conv: Conv2d<T>,
}

impl FullyConnected<f32> {
    /// Packs for the best level of this CPU.
    ///
    /// # Errors
    /// As [`Conv2d::f32`].
    pub fn f32(
        cin: usize,
        cout: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Self, Error> {
        Self::f32_on(Level::selected()?, cin, cout, weights, bias, activation)
    }

    /// Packs for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Conv2d::f32`].
    pub fn f32_on(
        kernels: &'static Kernels,
        cin: usize,
        cout: usize,
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Self, Error> {
        check_fully_connected(cin, cout, weights, bias, activation)?;
        let geometry = ConvGeometry::new(cin, cout, [1, 1]);
        Ok(FullyConnected { conv: Conv2d::f32_on(kernels, &geometry, Weights::oihw(weights), bias, activation)? })
    }
}

impl<T: Quantized> FullyConnected<T> {
    /// Packs bytes for the best level of this CPU: weights are symmetric, their zero point is 0.
    ///
    /// # Errors
    /// As [`Conv2d::quantized`].
    pub fn quantized(
        cin: usize,
        cout: usize,
        weights: &[i8],
        bias: Option<&[i32]>,
        quantization: &Quantization<'_>,
        activation: Activation,
    ) -> Result<Self, Error> {
        Self::quantized_on(Level::selected()?, cin, cout, weights, bias, quantization, activation)
    }

    /// Packs bytes for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Conv2d::quantized`].
    pub fn quantized_on(
        kernels: &'static Kernels,
        cin: usize,
        cout: usize,
        weights: &[i8],
        bias: Option<&[i32]>,
        quantization: &Quantization<'_>,
        activation: Activation,
    ) -> Result<Self, Error> {
        let geometry = ConvGeometry::new(cin, cout, [1, 1]);
        let (weights, ties) = (Weights::oihw(weights), Ties::FullyConnected);
        let conv = Conv2d::new_quantized(kernels, &geometry, weights, bias, quantization, activation, ties)?;
        Ok(FullyConnected { conv })
    }
}

impl<T: Element> Visit for FullyConnected<T> {
    fn visit(&mut self, f: &mut dyn FnMut(&mut Packed)) {
        self.conv.visit(f);
    }
}

impl<T: Element> FullyConnected<T> {
    /// What it is: a convolution of images of one pixel.
    #[cfg(feature = "capi")]
    pub(crate) fn conv(&self) -> &Conv2d<T> {
        &self.conv
    }

    /// The kernels that `run` uses on a batch of one.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        self.conv.kernel_names_for(1)
    }

    /// Bytes of workspace that `run` needs.
    ///
    /// # Errors
    /// A size that overflows.
    pub fn workspace_len(&self, batch: usize, threads: usize) -> Result<usize, Error> {
        self.conv.workspace_len([batch, 1, 1], threads)
    }

    /// Multiplies `batch` rows of `x` into rows of `y`.
    ///
    /// # Errors
    /// Slices of the wrong length, or a workspace below [`FullyConnected::workspace_len`]. Nothing is written then.
    pub fn run(
        &self,
        x: &[T],
        batch: usize,
        y: &mut [T],
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        self.run_in(x, batch, y, workspace.memory(), parallel)
    }

    /// [`FullyConnected::run`] in some of a workspace.
    pub(crate) fn run_in(
        &self,
        x: &[T],
        batch: usize,
        y: &mut [T],
        memory: &mut [u64],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let (cin, cout) = (self.conv.geometry().cin, self.conv.geometry().cout);
        check_rows(x, batch, y, cin, cout)?;
        let x = Image::nhwc(x, batch, 1, 1, cin)?;
        self.conv.run_in(x, None, ImageMut::nhwc(y, batch, 1, 1, cout)?, memory, parallel)
    }
}

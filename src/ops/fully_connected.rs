//! Fully connected layers: pointwise convolution of images of one pixel.

use super::{check_fully_connected, check_rows, conv2d::Conv2d};
use crate::{Activation, ConvGeometry, Error, Image, ImageMut, Level, Parallel, Weights, Workspace, kernels::Kernels};
use alloc::vec::Vec;

/// `y[b][o] = act(bias[o] + sum over i of x[b][i] * w[o][i])`, weights `[cout][cin]`.
pub struct FullyConnected<T = f32> {
    conv: Conv2d<T>,
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
        x: &[f32],
        batch: usize,
        y: &mut [f32],
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let (cin, cout) = (self.conv.geometry().cin, self.conv.geometry().cout);
        check_rows(x, batch, y, cin, cout)?;
        let x = Image::nhwc(x, batch, 1, 1, cin)?;
        self.conv.run(x, None, ImageMut::nhwc(y, batch, 1, 1, cout)?, workspace, parallel)
    }
}

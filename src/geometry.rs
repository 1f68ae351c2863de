//! Windows that slide over images: kernel, stride, dilation, padding, groups.

use crate::{
    error::{Error, non_zero, product},
    kernels::Function,
    quant::Ties,
};

/// Pixels of zeros around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Padding {
    /// None.
    #[default]
    Valid,
    /// As TensorFlow's SAME: the output has `ceil(size / stride)` pixels, and an odd pixel of padding goes to the bottom
    /// and the right.
    Same,
    /// As many as stated on each side.
    Explicit {
        /// Rows above.
        top: usize,
        /// Columns to the left.
        left: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the right.
        right: usize,
    },
}

impl Padding {
    /// The same on all four sides.
    pub const fn all(pixels: usize) -> Padding {
        Padding::Explicit { top: pixels, left: pixels, bottom: pixels, right: pixels }
    }
}

/// A window of `kernel` taps, `dilation` pixels apart, that moves by `stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width in taps.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Vertical and horizontal distance of taps.
    pub dilation: [usize; 2],
    /// Padding of the image.
    pub padding: Padding,
}

impl Window {
    /// Stride 1, dilation 1, no padding.
    pub const fn new(kernel: [usize; 2]) -> Window {
        Window { kernel, stride: [1, 1], dilation: [1, 1], padding: Padding::Valid }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let [kernel, stride, dilation] = [self.kernel, self.stride, self.dilation];
        non_zero(&[("kernel height", kernel[0]), ("kernel width", kernel[1])])?;
        non_zero(&[("vertical stride", stride[0]), ("horizontal stride", stride[1])])?;
        non_zero(&[("vertical dilation", dilation[0]), ("horizontal dilation", dilation[1])])?;
        self.span().map(|_| ())
    }

    /// Height and width that the window covers.
    pub(crate) fn span(&self) -> Result<[usize; 2], Error> {
        let span = |i: usize| Ok(product("window", &[self.kernel[i] - 1, self.dilation[i]])? + 1);
        Ok([span(0)?, span(1)?])
    }

    /// The window on an image of `h` by `w` pixels.
    pub(crate) fn on(&self, h: usize, w: usize) -> Result<Placed, Error> {
        let window = self.span()?;
        let image = [h, w];
        non_zero(&[("height", h), ("width", w)])?;
        let [top, left, bottom, right] = match self.padding {
            Padding::Valid => [0; 4],
            Padding::Explicit { top, left, bottom, right } => [top, left, bottom, right],
            Padding::Same => {
                let total = |i: usize| {
                    let covered = (image[i].div_ceil(self.stride[i]) - 1).saturating_mul(self.stride[i]);
                    covered.saturating_add(window[i]).saturating_sub(image[i])
                };
                let (v, h) = (total(0), total(1));
                [v / 2, h / 2, v - v / 2, h - h / 2]
            }
        };
        let padding = [top, left, bottom, right];
        let size = |i: usize, before: usize, after: usize| {
            let overflow = Error::Overflow { argument: "padding" };
            let padded = before.checked_add(after).and_then(|p| p.checked_add(image[i])).ok_or(overflow)?;
            product("padded image", &[padded])?;
            let free = padded.checked_sub(window[i]).ok_or(Error::NoOutput { image, window, padding })?;
            Ok(free / self.stride[i] + 1)
        };
        Ok(Placed { h, w, oh: size(0, top, bottom)?, ow: size(1, left, right)?, padding, window })
    }

    /// Height and width of the output for an image of `h` by `w` pixels:
    /// `(size + padding - ((kernel - 1) * dilation + 1)) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// Sizes of zero, and an image that, padded, is smaller than the window.
    pub fn output_size(&self, h: usize, w: usize) -> Result<[usize; 2], Error> {
        self.validate()?;
        self.on(h, w).map(|placed| [placed.oh, placed.ow])
    }
}

/// A window on an image of known size.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub h: usize,
    pub w: usize,
    pub oh: usize,
    pub ow: usize,
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    pub window: [usize; 2],
}

impl Placed {
    /// Outputs of a row, `stride` apart, for which the columns `first` to `last` of the window lie inside the image.
    pub fn inside(&self, stride: usize, first: usize, last: usize) -> core::ops::Range<usize> {
        let left = self.padding[1];
        let start = left.saturating_sub(first).div_ceil(stride);
        let end = (self.w + left).saturating_sub(last).div_ceil(stride).min(self.ow);
        start..end.max(start)
    }
}

/// The shape of a convolution: everything but the weights.
///
/// ```
/// use kolibri::{ConvGeometry, Padding};
/// // depthwise 3x3, stride 2
/// let geometry = ConvGeometry::new(32, 32, [3, 3]).stride([2, 2]).padding(Padding::Same).groups(32);
/// assert_eq!(geometry.output_size(112, 112), Ok([56, 56]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input channels.
    pub cin: usize,
    /// Output channels.
    pub cout: usize,
    /// Groups: output channel `o` sees the input channels of group `o / (cout / groups)` only.
    pub groups: usize,
    /// The sliding window.
    pub window: Window,
}

impl ConvGeometry {
    /// `kernel` is height and width; stride 1, dilation 1, no padding, one group.
    pub const fn new(cin: usize, cout: usize, kernel: [usize; 2]) -> Self {
        ConvGeometry { cin, cout, groups: 1, window: Window::new(kernel) }
    }

    /// Vertical and horizontal stride.
    pub const fn stride(mut self, stride: [usize; 2]) -> Self {
        self.window.stride = stride;
        self
    }

    /// Vertical and horizontal dilation.
    pub const fn dilation(mut self, dilation: [usize; 2]) -> Self {
        self.window.dilation = dilation;
        self
    }

    /// Padding with zeros.
    pub const fn padding(mut self, padding: Padding) -> Self {
        self.window.padding = padding;
        self
    }

    /// Groups.
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// As [`Window::output_size`].
    ///
    /// # Errors
    /// As [`Window::output_size`].
    pub fn output_size(&self, h: usize, w: usize) -> Result<[usize; 2], Error> {
        self.window.output_size(h, w)
    }

    /// Multiply-adds for `n` images of `h` by `w` pixels, those on padding included, those of the bias not. For one
    /// image with an output of `H` by `W` pixels, `N` input channels, `M` output channels, a kernel of `K` by `K` taps
    /// and `G` groups:
    ///
    /// | convolution | multiply-adds |
    /// | --- | --- |
    /// | standard | `H W N K² M` |
    /// | grouped | `H W N K² M / G` |
    /// | depthwise, `G = N = M` | `H W K² M` |
    /// | pointwise, `K = 1` | `H W N M` |
    ///
    /// ```
    /// # use kolibri::{ConvGeometry, Padding};
    /// let depthwise = ConvGeometry::new(32, 32, [3, 3]).padding(Padding::Same).groups(32);
    /// assert_eq!(depthwise.macs([1, 112, 112]), Ok(112 * 112 * 9 * 32));
    /// ```
    ///
    /// # Errors
    /// Sizes of zero, groups that do not divide the channels, an image that, padded, is smaller than the window;
    /// [`Error::Overflow`] beyond `u64`.
    pub fn macs(&self, [n, h, w]: [usize; 3]) -> Result<u64, Error> {
        non_zero(&[("batch", n)])?;
        let weights = self.weights()?;
        let [oh, ow] = self.output_size(h, w)?;
        let all = [n, oh, ow, weights].iter().try_fold(1u64, |all, &factor| all.checked_mul(factor as u64));
        all.ok_or(Error::Overflow { argument: "multiply-adds" })
    }

    /// Weights, `K² N M / G`.
    ///
    /// # Errors
    /// Sizes of zero or that overflow, groups that do not divide the channels.
    pub fn weights(&self) -> Result<usize, Error> {
        self.validate()?;
        Ok(self.cout * self.group_cin() * self.taps())
    }

    /// Weights and a bias for each output channel, `K² N M / G + M`.
    ///
    /// # Errors
    /// As [`ConvGeometry::weights`].
    pub fn parameters(&self) -> Result<usize, Error> {
        Ok(self.weights()? + self.cout)
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        non_zero(&[("cin", self.cin), ("cout", self.cout), ("groups", self.groups)])?;
        for (argument, channels) in [("cin", self.cin), ("cout", self.cout)] {
            if !channels.is_multiple_of(self.groups) {
                return Err(Error::Groups { argument, channels, groups: self.groups });
            }
        }
        self.window.validate()?;
        product("weights", &[self.cout, self.group_cin(), self.window.kernel[0], self.window.kernel[1]]).map(|_| ())
    }

    /// Input channels of a group.
    pub(crate) fn group_cin(&self) -> usize {
        self.cin / self.groups
    }

    /// Output channels of a group.
    pub(crate) fn group_cout(&self) -> usize {
        self.cout / self.groups
    }

    /// Whether the one tap of an output pixel is the input pixel of the same place.
    pub(crate) fn is_pixelwise(&self, placed: &Placed) -> bool {
        self.window.kernel == [1, 1] && self.window.stride == [1, 1] && placed.padding == [0; 4]
    }

    /// Taps of the kernel.
    pub(crate) fn taps(&self) -> usize {
        self.window.kernel[0] * self.window.kernel[1]
    }

    /// Every channel by itself, one output channel each. A single channel counts where there is a window.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.cin && self.cout == self.cin && (self.groups > 1 || self.taps() > 1)
    }
}

/// What is applied to each output.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `min(max(x, min), max)`.
    Clamp {
        /// Lower bound.
        min: f32,
        /// Upper bound; -0 is taken as 0.
        max: f32,
    },
    /// `x * (min(max(x + 3, 0), 6) * (1 / 6))`, each step rounded (MobileNetV3, arXiv 1905.02244).
    HardSwish,
    /// `1 / (1 + exp(-x))`, by the steps of `reference::sigmoid`.
    Sigmoid,
}

impl Activation {
    /// The clamp that the kernels apply; infinite bounds where there is none. NaN passes through. No upper bound is -0, by
    /// the contract of the kernels.
    pub(crate) fn bounds(self) -> (f32, f32) {
        match self {
            Activation::None | Activation::HardSwish | Activation::Sigmoid => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            Activation::Clamp { min, max } => (min, max + 0.0),
        }
    }

    /// The function that no clamp is.
    pub(crate) fn function(self) -> Function {
        match self {
            Activation::HardSwish => Function::HardSwish,
            Activation::Sigmoid => Function::Sigmoid,
            _ => Function::Clamp,
        }
    }

    pub(crate) fn validate(self) -> Result<(), Error> {
        match self {
            Activation::Clamp { min, max } if min.is_nan() || max.is_nan() || min > max => {
                Err(Error::Clamp { min, max })
            }
            _ => Ok(()),
        }
    }
}

/// The weights of a convolution as they lie in the caller's model.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a, T = f32> {
    pub(crate) data: &'a [T],
    pub(crate) layout: WeightLayout,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum WeightLayout {
    Oihw,
    Ohwi,
    Hwc,
}

impl<'a, T> Weights<'a, T> {
    /// `[cout][cin / groups][height][width]`: ONNX, PyTorch.
    pub const fn oihw(data: &'a [T]) -> Self {
        Weights { data, layout: WeightLayout::Oihw }
    }

    /// `[cout][height][width][cin / groups]`: TFLite's CONV_2D.
    pub const fn ohwi(data: &'a [T]) -> Self {
        Weights { data, layout: WeightLayout::Ohwi }
    }

    /// `[height][width][cout]`, one input channel for each output channel: TFLite's DEPTHWISE_CONV_2D.
    pub const fn hwc(data: &'a [T]) -> Self {
        Weights { data, layout: WeightLayout::Hwc }
    }

    /// The operator of TensorFlow Lite that has such weights.
    pub(crate) fn ties(&self, geometry: &ConvGeometry) -> Ties {
        let depthwise = geometry.groups == geometry.cin && geometry.groups > 1;
        match geometry.groups {
            _ if depthwise || self.layout == WeightLayout::Hwc => Ties::DepthwiseConv,
            1 => Ties::Conv,
            _ => Ties::GroupedConv,
        }
    }

    pub(crate) fn validate(&self, geometry: &ConvGeometry) -> Result<(), Error> {
        let expected = geometry.weights()?;
        if self.data.len() != expected {
            return Err(Error::Length { argument: "weights", expected, got: self.data.len() });
        }
        if self.layout == WeightLayout::Hwc && geometry.group_cin() != 1 {
            return Err(Error::WeightLayout { layout: "hwc" });
        }
        Ok(())
    }

    /// The weight of output channel `o`, input channel `i` of its group, at tap (`ky`, `kx`).
    pub(crate) fn at(&self, g: &ConvGeometry, o: usize, i: usize, ky: usize, kx: usize) -> &'a T {
        let ([kh, kw], cin) = (g.window.kernel, g.group_cin());
        &self.data[match self.layout {
            WeightLayout::Oihw => ((o * cin + i) * kh + ky) * kw + kx,
            WeightLayout::Ohwi => ((o * kh + ky) * kw + kx) * cin + i,
            WeightLayout::Hwc => (ky * kw + kx) * g.cout + o,
        }]
    }
}

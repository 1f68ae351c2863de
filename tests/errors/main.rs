//! Every bad argument gives the error that its documentation states, says which argument it was, and nothing is written.
#![cfg(feature = "operators")]

#[path = "../common/mod.rs"]
mod common;

mod bytes;
mod convolutions;
mod others;
mod shapes;
mod squeeze_excite;

use common::CANARY;
use kolibri::{
    Activate, Activation, Add, Chain, ChannelShuffle, Concat, Conv2d, ConvGeometry, Error, FullyConnected, Fusion,
    Image, ImageMut, Level, Lookup, Padding, Pool2d, QuantParams, Quantization, Requantization, Serial, SqueezeExcite,
    SqueezeExciteQuantization, SqueezeExciteWeights, Weights, Window, Workspace, kernels::Kernels, nchw_to_nhwc,
    nhwc_to_nchw, reference,
};

const HUGE: usize = usize::MAX;
/// Values of a buffer.
const SIZE: usize = 8192;

/// `result` is `expected`, whose text begins with the argument's name.
#[track_caller]
fn fails<T>(result: Result<T, Error>, expected: Error, argument: &str) {
    let error = result.err().expect("an error");
    assert_eq!(error, expected);
    let text = error.to_string();
    assert!(text.starts_with(&format!("{argument}: ")), "{text}");
}

fn zero(argument: &'static str) -> Error {
    Error::Zero { argument }
}

fn length(argument: &'static str, expected: usize, got: usize) -> Error {
    Error::Length { argument, expected, got }
}

fn shape(argument: &'static str, expected: [usize; 4], got: [usize; 4]) -> Error {
    Error::Shape { argument, expected, got }
}

fn kernels() -> &'static Kernels {
    Level::selected().expect("a level")
}

/// Ones, and an output whose values are kept: `end` says that none was written.
struct Buffers {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Buffers {
    fn new() -> Buffers {
        Buffers { x: vec![1.0; SIZE], y: vec![CANARY; SIZE] }
    }

    fn x(&self, [n, h, w, c]: [usize; 4]) -> Image<'_> {
        Image::nhwc(&self.x[..n * h * w * c], n, h, w, c).expect("dense")
    }

    fn y(&mut self, [n, h, w, c]: [usize; 4]) -> ImageMut<'_> {
        ImageMut::nhwc(&mut self.y[..n * h * w * c], n, h, w, c).expect("dense")
    }

    /// An input and an output of one shape in the same memory, `apart` values from one another.
    fn aliased(&mut self, shape: [usize; 4], stride: usize, apart: usize) -> (Image<'_>, ImageMut<'_>) {
        let [n, h, w, c] = shape;
        let len = (n * h * w - 1) * stride + c;
        assert!(len + apart <= self.y.len());
        let at = self.y.as_mut_ptr();
        // SAFETY: both lie inside `y`. They alias, which operators must refuse: then no element is accessed through
        // either. Where they may not refuse, the elements of the two images are apart.
        let (x, y) =
            unsafe { (std::slice::from_raw_parts(at, len), std::slice::from_raw_parts_mut(at.add(apart), len)) };
        let image = Image::strided(x, n, h, w, c, stride).expect("inside");
        (image, ImageMut::strided(y, n, h, w, c, stride).expect("inside"))
    }

    #[track_caller]
    fn end(self) {
        assert!(self.y.iter().all(|&y| y == CANARY), "written in spite of the error");
    }
}

const PARAMS: QuantParams = QuantParams::new(0.5, 3);
/// What no scale is.
const NO_SCALES: [f32; 5] = [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// `new(params)` refuses scales and zero points that are none, of the parameters that it calls `argument`.
#[track_caller]
fn refuses_params<R>(argument: &str, least: i32, new: impl Fn(QuantParams) -> Result<R, Error>) {
    for bad in NO_SCALES {
        let error = new(QuantParams { scale: bad, ..PARAMS }).err().expect("an error");
        let Error::Scale { argument: got, expected, scale } = &error else { panic!("{error:?}") };
        assert_eq!((*got, *expected, scale.to_bits()), (argument, "a positive finite scale", bad.to_bits()));
        assert_eq!(error.to_string(), format!("{argument}: expected a positive finite scale, got {bad:e}"));
    }
    for zero_point in [least - 1, least + 256, i32::MIN, i32::MAX] {
        let error = new(QuantParams { zero_point, ..PARAMS }).err().expect("an error");
        let Error::ZeroPoint { argument: got, zero_point: at, min, max } = error else { panic!("{error:?}") };
        assert_eq!((got, at, min, max), (argument, zero_point, least, least + 255));
        assert!(error.to_string().starts_with(&format!("{argument}: ")), "{error}");
    }
}

fn scale_error(argument: &'static str, expected: &'static str, scale: f32) -> Error {
    Error::Scale { argument, expected, scale }
}

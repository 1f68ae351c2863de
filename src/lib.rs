//! SIMD kernels for light-weight convolutional networks.
//!
//! Depthwise, pointwise, standard and grouped convolution, fully connected layers, squeeze-excite, pooling, addition,
//! activations, concat, channel shuffle and layout changes, in f32 and int8 on NHWC images, for MobileNet, ShuffleNet,
//! MnasNet, NASNet and their kin. A generator that runs in the build script emits every kernel for every instruction
//! set from one description; the best set that the CPU has is taken at run time.
//!
//! ```
//! use kolibri::{Activation, Conv2d, ConvGeometry, Image, ImageMut, Padding, Serial, Weights, Workspace};
//!
//! # fn main() -> Result<(), kolibri::Error> {
//! // Depthwise 3x3 at stride 2, with weights as PyTorch lays them, and ReLU6.
//! let geometry = ConvGeometry::new(32, 32, [3, 3]).stride([2, 2]).padding(Padding::Same).groups(32);
//! let (weights, bias) = (vec![0.1; 32 * 9], vec![0.0; 32]);
//! let conv = Conv2d::f32(&geometry, Weights::oihw(&weights), Some(&bias), Activation::Relu6)?;
//!
//! let (x, mut y) = (vec![1.0; 112 * 112 * 32], vec![0.0; 56 * 56 * 32]);
//! let mut workspace = Workspace::new(conv.workspace_len([1, 112, 112], 1)?)?;
//! conv.run(
//!     Image::nhwc(&x, 1, 112, 112, 32)?,
//!     None, // no residual
//!     ImageMut::nhwc(&mut y, 1, 56, 56, 32)?,
//!     &mut workspace,
//!     &Serial,
//! )?;
//! assert!((y[0] - 0.9).abs() < 1e-6);
//! # Ok(())
//! # }
//! ```
//!
//! A run of convolutions, such as a separable convolution or an inverted residual, is a [`Chain`]: the same bits, with
//! what lies between in a [`Workspace`] rather than in the caller's buffers, a few rows at a time where that is faster.
//!
//! On bytes, `i8` or `u8`, an operator is told what they stand for, and how sums become bytes: see [`Requantization`].
//! ```
//! use kolibri::{Activation, Conv2d, ConvGeometry, QuantParams, Quantization, Requantization, Weights};
//!
//! # fn main() -> Result<(), kolibri::Error> {
//! let geometry = ConvGeometry::new(24, 144, [1, 1]);
//! let weights = vec![1i8; 144 * 24];
//! let quantization = Quantization {
//!     x: QuantParams::new(0.05, 128), // real = 0.05 * (q - 128)
//!     weight_scales: &[0.01],         // one, or one for each output channel; zero point 0
//!     y: QuantParams::new(6.0 / 255.0, 0),
//!     residual: None,
//!     mode: Requantization::FloatScale,
//! };
//! let conv = Conv2d::<u8>::quantized(&geometry, Weights::ohwi(&weights), None, &quantization, Activation::Relu6)?;
//! # let _ = conv;
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//! - **The same bits everywhere.** On every level with a fused multiply-add results equal [`mod@reference`] bit for bit,
//!   whatever the tile, the thread count, the strips or the position in the batch: each output is one chain of
//!   multiply-adds in one order. The portable level has no such instruction on baseline x86-64; it keeps the order, not
//!   the bits.
//! - **Exact int8.** Sums are exact on every level: no instruction that saturates at 16 bits is used. Bytes are equal on
//!   every level, the portable one too, and equal to those of ONNX Runtime and LiteRT where the documentation of an
//!   operator says so; `tests/conformance/` holds their answers.
//! - **No byte touched outside the caller's buffers**, at any size and alignment.
//! - **No allocation, no lock and no thread of its own in `run`.** Weights are packed at creation, the caller passes a
//!   [`Workspace`] of a stated size and lends threads through [`Parallel`].
//! - **No panic on bad input**: an [`Error`] that says which argument and what was expected, and nothing is written.
//!
//! Images may begin anywhere, but are read fastest where they begin on a cache line, 64 bytes, and pixels are whole lines:
//! a register of 512 bits that crosses lines is read twice. 16 bytes off, a depthwise 3x3 in f32 took 1.7 times as long
//! on Zen 5. What a [`Chain`] has between its convolutions lies so by itself.
//!
//! # Levels
//! | level | architecture | features |
//! | --- | --- | --- |
//! | portable | any | by the crate `wide` |
//! | avx2 | x86-64 | AVX2, FMA |
//! | avxvnni | x86-64 | AVX2, FMA, AVX-VNNI: int8 products of its own, the rest is avx2's |
//! | avx512 | x86-64 | AVX-512 F, BW, DQ, VL |
//! | avx512vnni | x86-64 | and VNNI: int8 products of its own, the rest is avx512's |
//! | amx | x86-64, Linux | and AMX-INT8: products on tiles where they pay, the rest is avx512vnni's. The tiles are asked of the system when levels are first detected; refused, the next level is taken |
//! | neon | aarch64 | NEON |
//! | neon_dotprod | aarch64 | and dot products: int8 products of its own |
//! | neon_i8mm | aarch64 | and int8 matrix products |
//!
//! The environment variable `KOLIBRI_ISA` narrows the choice; see [`Level::selected`]. `KOLIBRI_FUSE` says whether chains
//! run in strips; see [`Chain::new`].
//!
//! # Features
//! All but `rayon` and `capi` are on by default. Of kernels, which are most of what the crate takes, those of levels and
//! operators that no feature asks for are not emitted.
//!
//! | feature | what |
//! | --- | --- |
//! | `std` | run-time detection, [`mod@reference`]; without it the level is what the compiler was told of the target |
//! | `isa-env` | `KOLIBRI_ISA` and `KOLIBRI_FUSE` |
//! | `rayon` | `Rayon`, a [`Parallel`] on the current pool, and `Rayon::hold`, which keeps its threads awake |
//! | `capi` | the functions of `include/kolibri.h`, for which cargo-c makes a library |
//! | `levels` | `portable`, `avx2`, `avxvnni`, `avx512`, `avx512vnni`, `amx`, `neon_dotprod`, `neon_i8mm`, each a feature that asks for those whose kernels it shares; neon is always there |
//! | `operators` | those that follow; convolution, fully connected layers, [`Add`], [`Activate`] and [`copy`] are always there |
//! | `int8` | [`Quantized`], and with it every operator on bytes |
//! | `pool` | [`Pool2d`] |
//! | `shuffle` | [`ChannelShuffle`], [`nchw_to_nhwc`], [`nhwc_to_nchw`] |
//! | `squeeze-excite` | [`SqueezeExcite`], with `pool` |
//! | `chain` | [`Chain`] |
//!
//! [`Level::kernels`] is `None` for a level whose feature is off, and [`Level::selected`] passes it over, or fails where
//! there is no other; `KOLIBRI_ISA` may name it. Without `int8` only `f32` is an [`Element`].

#![cfg_attr(not(feature = "std"), no_std)]
// What is not asked for is not offered, and then nobody uses it.
#![cfg_attr(
    not(all(feature = "levels", feature = "operators")),
    allow(dead_code, unused_imports, unused_unsafe, unused_variables)
)]

extern crate alloc;

#[cfg(feature = "capi")]
pub mod capi;
mod detect;
mod error;
mod geometry;
mod isa;
pub mod kernels;
mod ops;
mod pack;
mod packed;
mod parallel;
mod quant;
#[cfg(feature = "std")]
pub mod reference;
mod tensor;
mod workspace;

pub use detect::Level;
pub use error::Error;
pub use geometry::{Activation, ConvGeometry, Padding, Weights, Window};
pub use kernels::emitted;
#[cfg(feature = "pool")]
pub use ops::Pool2d;
pub use ops::{Activate, Add, Concat, Conv2d, FullyConnected, Lookup, copy, quantise};
#[cfg(feature = "chain")]
pub use ops::{Chain, Fusion};
#[cfg(feature = "shuffle")]
pub use ops::{ChannelShuffle, nchw_to_nhwc, nhwc_to_nchw};
#[cfg(feature = "squeeze-excite")]
pub use ops::{SqueezeExcite, SqueezeExciteQuantization, SqueezeExciteWeights};
pub use packed::{PackedWeights, join_weights};
#[cfg(feature = "rayon")]
pub use parallel::Rayon;
pub use parallel::{Parallel, Serial};
pub use quant::{QuantParams, Quantization, Quantized, Requantization, weight_scale};
pub use tensor::{Element, Image, ImageMut};
pub use workspace::Workspace;

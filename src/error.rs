//! What can be wrong with a caller's arguments.

use alloc::string::String;
use core::fmt;

/// A caller's mistake, found before anything is written. Each says which argument, what was expected and what came.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice of the wrong length.
    Length {
        /// The slice.
        argument: &'static str,
        /// Elements that it must have.
        expected: usize,
        /// Elements that it has.
        got: usize,
    },
    /// A size that must not be zero.
    Zero {
        /// The size.
        argument: &'static str,
    },
    /// Channels that the groups do not divide.
    Groups {
        /// Which channels.
        argument: &'static str,
        /// How many.
        channels: usize,
        /// Groups.
        groups: usize,
    },
    /// A window that does not fit into the padded image, so that there is no output.
    NoOutput {
        /// Image height and width.
        image: [usize; 2],
        /// Height and width that the window spans, dilation included.
        window: [usize; 2],
        /// Padding: top, left, bottom, right.
        padding: [usize; 4],
    },
    /// Padding of a pool as large as its kernel, so that an output could see nothing of the image.
    Padding {
        /// Padding: top, left, bottom, right.
        padding: [usize; 4],
        /// Height and width of the kernel.
        kernel: [usize; 2],
    },
    /// A size above `isize::MAX / 64`, which is 32 MB on a machine of 32 bits.
    Overflow {
        /// What was computed.
        argument: &'static str,
    },
    /// A pixel stride below the channels.
    PixelStride {
        /// The stride.
        pixel_stride: usize,
        /// The channels.
        channels: usize,
    },
    /// A range of channels outside the image's.
    Channels {
        /// First channel.
        start: usize,
        /// One past the last channel.
        end: usize,
        /// Channels of the image.
        channels: usize,
    },
    /// An image of the wrong shape.
    Shape {
        /// The image.
        argument: &'static str,
        /// Batch, height, width, channels that it must have.
        expected: [usize; 4],
        /// What it has.
        got: [usize; 4],
    },
    /// The output shares memory with an input.
    Overlap {
        /// The input.
        argument: &'static str,
    },
    /// A workspace too small for this image and this many threads.
    Workspace {
        /// Bytes that it must have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A layout of weights that does not fit the operator, such as `hwc` where it is not depthwise.
    WeightLayout {
        /// The layout.
        layout: &'static str,
    },
    /// Bounds of a clamp that are NaN or the wrong way round.
    Clamp {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// A scale, or a ratio of scales, that is not positive and finite, or outside the range of the operator.
    Scale {
        /// The scale.
        argument: &'static str,
        /// What it must be.
        expected: &'static str,
        /// Its value.
        scale: f32,
    },
    /// A zero point that no byte has.
    ZeroPoint {
        /// Whose.
        argument: &'static str,
        /// Its value.
        zero_point: i32,
        /// The least byte.
        min: i32,
        /// The greatest byte.
        max: i32,
    },
    /// A residual of bytes whose quantisation was not given at creation.
    ResidualQuantization,
    /// An activation that the operator does not have on bytes.
    Activation {
        /// Which.
        activation: &'static str,
    },
    /// A chain of too few or too many convolutions.
    ChainLength {
        /// The most; the least are two.
        most: usize,
        /// How many came.
        got: usize,
    },
    /// A convolution of a chain that takes other channels than the one before it makes.
    ChainChannels {
        /// Which convolution, from 0.
        index: usize,
        /// Channels that the one before it makes.
        expected: usize,
        /// Channels that it takes.
        got: usize,
    },
    /// `KOLIBRI_FUSE` is neither `never` nor `always`.
    Fuse {
        /// Its value.
        value: String,
    },
    /// An activation whose quantisation is another than that of the output that it is for.
    OutputQuantization,
    /// Memory that the allocator does not have.
    Memory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// A level that this CPU lacks, or without which the crate was built.
    Level {
        /// The level's name.
        name: &'static str,
    },
    /// `KOLIBRI_ISA` names an unknown level.
    Isa {
        /// The name.
        name: String,
    },
}

impl Error {
    pub(crate) fn isa(name: &str) -> Error {
        Error::Isa { name: name.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Length { argument, expected, got } => {
                write!(f, "{argument}: expected {expected} elements, got {got}")
            }
            Error::Zero { argument } => write!(f, "{argument}: must not be zero"),
            Error::Groups { argument, channels, groups } => {
                write!(f, "{argument}: {groups} groups do not divide {channels} channels")
            }
            Error::NoOutput { image: [h, w], window: [kh, kw], padding } => {
                write!(f, "image: no output, a window of {kh}x{kw} does not fit {h}x{w} padded by {padding:?}")
            }
            Error::Padding { padding, kernel: [kh, kw] } => {
                write!(f, "padding: {padding:?} (top, left, bottom, right) is not below the kernel of {kh}x{kw}")
            }
            Error::Overflow { argument } => write!(f, "{argument}: the size overflows"),
            Error::PixelStride { pixel_stride, channels } => {
                write!(f, "pixel_stride: expected at least the {channels} channels, got {pixel_stride}")
            }
            Error::Channels { start, end, channels } => {
                write!(f, "channels: {start}..{end} is no range within 0..{channels}")
            }
            Error::Shape { argument, expected, got } => {
                write!(f, "{argument}: expected [n, h, w, c] = {expected:?}, got {got:?}")
            }
            Error::Overlap { argument } => write!(f, "{argument}: shares memory with the output"),
            Error::Workspace { expected, got } => {
                write!(f, "workspace: expected at least {expected} bytes, got {got}")
            }
            Error::WeightLayout { layout } => write!(f, "weights: the layout {layout} does not fit the operator"),
            Error::Clamp { min, max } => write!(f, "activation: no clamp from {min} to {max}"),
            Error::Scale { argument, expected, scale } => {
                write!(f, "{argument}: expected {expected}, got {scale:e}")
            }
            Error::ZeroPoint { argument, zero_point, min, max } => {
                write!(f, "{argument}: expected a zero point from {min} to {max}, got {zero_point}")
            }
            Error::ResidualQuantization => write!(f, "residual: its quantisation was not given at creation"),
            Error::Activation { activation } => write!(f, "activation: {activation} is not offered on bytes"),
            Error::ChainLength { most, got } => write!(f, "convs: expected 2 to {most} convolutions, got {got}"),
            Error::ChainChannels { index, expected, got } => {
                write!(
                    f,
                    "convs: expected convolution {index} to take the {expected} channels made before it, got {got}"
                )
            }
            Error::Fuse { value } => write!(f, "KOLIBRI_FUSE: expected never or always, got '{value}'"),
            Error::OutputQuantization => write!(f, "y: not the quantisation that was given at creation"),
            Error::Memory { bytes } => write!(f, "workspace: {bytes} bytes cannot be allocated"),
            Error::Level { name } => write!(f, "level: this CPU, or the crate as it was built, lacks {name}"),
            Error::Isa { name } => {
                write!(f, "KOLIBRI_ISA: unknown level '{name}', known are")?;
                crate::Level::ALL.iter().try_for_each(|level| write!(f, " {}", level.name()))
            }
        }
    }
}

impl core::error::Error for Error {}

/// `Err(Zero)` where one of the sizes is.
pub(crate) fn non_zero(sizes: &[(&'static str, usize)]) -> Result<(), Error> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some(&(argument, _)) => Err(Error::Zero { argument }),
        None => Ok(()),
    }
}

/// The most that a size may be: lines of as many times 64 bytes, and sums of some sizes in bytes, then fit `isize`, as
/// allocations and offsets must.
pub(crate) fn limit() -> usize {
    #[cfg(test)]
    if let Some(limit) = LIMIT.get() {
        return limit;
    }
    isize::MAX as usize / 64
}

#[cfg(test)]
std::thread_local! {
    /// What a test takes for the limit of this machine.
    pub(crate) static LIMIT: core::cell::Cell<Option<usize>> = const { core::cell::Cell::new(None) };
}

/// The product, or `Err(Overflow)` beyond the limit.
pub(crate) fn product(argument: &'static str, factors: &[usize]) -> Result<usize, Error> {
    let product = factors.iter().try_fold(1usize, |all, &factor| all.checked_mul(factor));
    product.filter(|&all| all <= limit()).ok_or(Error::Overflow { argument })
}

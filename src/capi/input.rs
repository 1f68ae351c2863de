//! From what a caller passed to what the crate takes: the only place that reads through its pointers.

use super::{describe::*, kolibri_status as Status, status::Fault};
use crate::{
    Activation, Element, Error, Image, ImageMut, Level, Padding, QuantParams, Quantization, Requantization, Window,
    kernels::Kernels,
};
use core::ffi::{CStr, c_char, c_void};

/// A struct that begins with its size.
///
/// # Safety
/// It is plain data, valid as any bits, and its first field is a `usize`.
pub(super) unsafe trait Described: Copy {}
macro_rules! described {
    ($($name:ident)*) => { $(
        // SAFETY: `repr(C)`, of integers, floats, pointers and optional functions, `struct_size` first.
        unsafe impl Described for $name {}
        const _: () = assert!(core::mem::offset_of!($name, struct_size) == 0);
    )* };
}
described! {
    kolibri_image kolibri_image_mut kolibri_conv2d_desc kolibri_fully_connected_desc kolibri_pool2d_desc
    kolibri_add_desc kolibri_activate_desc kolibri_channel_shuffle_desc kolibri_squeeze_excite_desc
    kolibri_chain_desc kolibri_parallel
}

pub(super) fn null(argument: &str) -> Fault {
    Fault::new(Status::InvalidNull, format!("{argument}: must not be NULL"))
}

/// What a library without a feature answers.
pub(super) fn not_built(feature: &str) -> Fault {
    Fault::new(Status::UnsupportedOperator, format!("this library was built without the feature {feature}"))
}

pub(super) fn invalid_value(argument: &str, value: u32) -> Fault {
    Fault::new(Status::InvalidValue, format!("{argument}: {value} is not one of its enumeration"))
}

/// A copy of a struct.
///
/// # Safety
/// `ptr` is NULL or leads to as many bytes as its first `size_t` says.
pub(super) unsafe fn read<D: Described>(argument: &str, ptr: *const D) -> Result<D, Fault> {
    if ptr.is_null() {
        return Err(null(argument));
    }
    let expected = size_of::<D>();
    // SAFETY: as promised by the caller, of a struct whose size comes first.
    let got = unsafe { ptr.cast::<usize>().read_unaligned() };
    let message = format!("{argument}: expected a struct_size of {expected}, got {got}");
    match got.cmp(&expected) {
        core::cmp::Ordering::Less => Err(Fault::new(Status::InvalidStructSize, message)),
        core::cmp::Ordering::Greater => Err(Fault::new(Status::UnsupportedStructSize, message)),
        // SAFETY: as promised by the caller; any bits are valid.
        core::cmp::Ordering::Equal => Ok(unsafe { ptr.read_unaligned() }),
    }
}

/// Whether `len` elements can lie at `ptr`.
fn check_array<T>(argument: &str, ptr: *const T, len: usize) -> Result<(), Fault> {
    if ptr.is_null() {
        return Err(null(argument));
    }
    let size = size_of::<T>();
    let bytes = len.checked_mul(size).filter(|&bytes| bytes <= isize::MAX as usize);
    if bytes.and_then(|bytes| ptr.addr().checked_add(bytes)).is_none() {
        return Err(Fault::new(Status::InvalidOverflow, format!("{argument}: {len} elements do not fit memory")));
    }
    if !ptr.addr().is_multiple_of(align_of::<T>()) {
        let message = format!("{argument}: expected a multiple of {}, got {:#x}", align_of::<T>(), ptr.addr());
        return Err(Fault::new(Status::InvalidAlignment, message));
    }
    Ok(())
}

/// # Safety
/// `ptr` is NULL or valid for reads of `len` elements as long as `'a`.
pub(super) unsafe fn array<'a, T>(argument: &str, ptr: *const T, len: usize) -> Result<&'a [T], Fault> {
    check_array(argument, ptr, len)?;
    // SAFETY: as promised by the caller, and checked to be a slice that may be.
    Ok(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// # Safety
/// As for [`array`].
pub(super) unsafe fn optional_array<'a, T>(
    argument: &str,
    ptr: *const T,
    len: usize,
) -> Result<Option<&'a [T]>, Fault> {
    if ptr.is_null() && len == 0 {
        return Ok(None);
    }
    // SAFETY: as promised by the caller.
    unsafe { array(argument, ptr, len).map(Some) }
}

/// # Safety
/// `ptr` is NULL or valid for reads and writes of `len` elements as long as `'a`, by nobody else.
pub(super) unsafe fn array_mut<'a, T>(argument: &str, ptr: *mut T, len: usize) -> Result<&'a mut [T], Fault> {
    check_array(argument, ptr, len)?;
    // SAFETY: as promised by the caller, and checked to be a slice that may be.
    Ok(unsafe { core::slice::from_raw_parts_mut(ptr, len) })
}

/// The longest name of a level that is looked for.
const MAX_NAME: usize = 64;

/// The level that `name` asks for.
///
/// # Safety
/// `name` is NULL or leads to bytes up to a NUL.
pub(super) unsafe fn kernels(name: *const c_char) -> Result<&'static Kernels, Fault> {
    if name.is_null() {
        return Ok(Level::selected()?);
    }
    // SAFETY: as promised by the caller; no byte after the NUL is read.
    let len = (0..MAX_NAME).find(|&i| unsafe { *name.add(i) } == 0);
    // SAFETY: those bytes were read.
    let bytes = unsafe { core::slice::from_raw_parts(name.cast::<u8>(), len.map_or(MAX_NAME, |len| len + 1)) };
    let text = CStr::from_bytes_with_nul(bytes).ok().and_then(|text| text.to_str().ok());
    let level = text.and_then(Level::from_name).ok_or_else(|| {
        let text = String::from_utf8_lossy(&bytes[..len.unwrap_or(MAX_NAME)]);
        Fault::new(Status::InvalidLevel, format!("level: there is none of the name '{text}'"))
    })?;
    level.kernels().ok_or_else(|| Error::Level { name: level.name() }.into())
}

/// Elements of images, and what operators on them are made of.
pub(super) trait Dtype: Element {
    const DTYPE: kolibri_dtype;
    type Weight;
    type Bias;
}
impl Dtype for f32 {
    const DTYPE: kolibri_dtype = kolibri_dtype::F32;
    type Weight = f32;
    type Bias = f32;
}
#[cfg(feature = "int8")]
impl Dtype for i8 {
    const DTYPE: kolibri_dtype = kolibri_dtype::I8;
    type Weight = i8;
    type Bias = i32;
}
#[cfg(feature = "int8")]
impl Dtype for u8 {
    const DTYPE: kolibri_dtype = kolibri_dtype::U8;
    type Weight = i8;
    type Bias = i32;
}

pub(super) fn dtype(value: u32) -> Result<kolibri_dtype, Fault> {
    [kolibri_dtype::F32, kolibri_dtype::I8, kolibri_dtype::U8]
        .into_iter()
        .find(|&dtype| dtype as u32 == value)
        .ok_or_else(|| invalid_value("dtype", value))
}

/// What there is to check of an image, whoever reads or writes it.
fn check_image<T: Dtype>(argument: &str, image: &kolibri_image) -> Result<usize, Fault> {
    let (got, expected) = (dtype(image.dtype)?, T::DTYPE);
    if got != expected {
        let message = format!("{argument}: expected elements of {expected:?}, got {got:?}");
        return Err(Fault::new(Status::InvalidShape, message));
    }
    check_array::<T>(argument, image.data.cast(), image.len)?;
    Ok(if image.pixel_stride == 0 { image.c } else { image.pixel_stride })
}

/// An error of an image, which does not know its name.
fn of(argument: &str) -> impl Fn(Error) -> Fault {
    move |error| Fault { status: Status::from(&error), message: format!("{argument}: {error}") }
}

fn check_len<T: Element>(argument: &str, image: &Image<'_, T>, got: usize) -> Result<(), Fault> {
    let ([n, h, w, c], stride) = (image.shape(), image.pixel_stride());
    let expected = (n * h * w - 1) * stride + c;
    if got >= expected {
        return Ok(());
    }
    Err(Fault::new(Status::InvalidLength, format!("{argument}: expected at least {expected} elements, got {got}")))
}

/// # Safety
/// The `len` elements that `image` says are valid for reads as long as `'a`.
pub(super) unsafe fn image<'a, T: Dtype>(argument: &str, image: &kolibri_image) -> Result<Image<'a, T>, Fault> {
    let stride = check_image::<T>(argument, image)?;
    let &kolibri_image { data, len, n, h, w, c, .. } = image;
    // SAFETY: as promised by the caller; `check_len` sees to it that all pixels are among those elements.
    let image = unsafe { Image::from_ptr(data.cast(), n, h, w, c, stride) }.map_err(of(argument))?;
    check_len(argument, &image, len)?;
    Ok(image)
}

/// # Safety
/// The `len` elements that `image` says are valid for reads and writes as long as `'a`, and nobody else touches the
/// channels.
pub(super) unsafe fn image_mut<'a, T: Dtype>(
    argument: &str,
    image: &kolibri_image_mut,
) -> Result<ImageMut<'a, T>, Fault> {
    let &kolibri_image_mut { struct_size, dtype, data, len, n, h, w, c, pixel_stride } = image;
    let same = kolibri_image { struct_size, dtype, data, len, n, h, w, c, pixel_stride };
    let stride = check_image::<T>(argument, &same)?;
    // SAFETY: as promised by the caller; `check_len` sees to it that all pixels are among those elements.
    let image = unsafe { ImageMut::from_ptr(data.cast(), n, h, w, c, stride) }.map_err(of(argument))?;
    check_len(argument, &image.as_image(), len)?;
    Ok(image)
}

/// Where an image lies, in bytes.
pub(super) fn span<T: Element>(image: &Image<'_, T>) -> core::ops::Range<usize> {
    let ([n, h, w, c], start) = (image.shape(), image.raw().ptr.addr());
    start..start + ((n * h * w - 1) * image.pixel_stride() + c) * size_of::<T>()
}

pub(super) fn window(window: &kolibri_window) -> Result<Window, Fault> {
    let or_one = |sizes: [usize; 2]| sizes.map(|size| size.max(1));
    let padding = match window.padding {
        0 => Padding::Valid,
        1 => Padding::Same,
        2 => {
            let [top, left, bottom, right] = window.pads;
            Padding::Explicit { top, left, bottom, right }
        }
        other => return Err(invalid_value("window.padding", other)),
    };
    let (stride, dilation) = (or_one(window.stride), or_one(window.dilation));
    Ok(Window { kernel: window.kernel, stride, dilation, padding })
}

pub(super) fn activation(activation: &kolibri_activation_params) -> Result<Activation, Fault> {
    Ok(match activation.kind {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::Relu6,
        3 => Activation::Clamp { min: activation.min, max: activation.max },
        4 => Activation::HardSwish,
        5 => Activation::Sigmoid,
        other => return Err(invalid_value("activation.kind", other)),
    })
}

pub(super) fn quant_params(params: kolibri_quant_params) -> QuantParams {
    QuantParams::new(params.scale, params.zero_point)
}

pub(super) fn requantization(value: u32) -> Result<Requantization, Fault> {
    match value {
        0 => Ok(Requantization::FloatScale),
        1 => Ok(Requantization::TfliteDouble),
        other => Err(invalid_value("requantization", other)),
    }
}

/// # Safety
/// The pointers lead to what [`kolibri_quantization`] says, as long as `'a`.
pub(super) unsafe fn quantization<'a>(q: &kolibri_quantization) -> Result<Quantization<'a>, Fault> {
    // SAFETY: as promised by the caller.
    let weight_scales = unsafe { array("weight_scales", q.weight_scales, q.weight_scales_len)? };
    let residual = match q.residual.is_null() {
        true => None,
        // SAFETY: as promised by the caller.
        false => Some(unsafe { array("residual", q.residual, 1)?[0] }),
    };
    Ok(Quantization {
        x: quant_params(q.x),
        weight_scales,
        y: quant_params(q.y),
        residual: residual.map(quant_params),
        mode: requantization(q.requantization)?,
    })
}

/// Cache lines, so that what operators keep in it begins as it would in memory of their own.
pub(super) const WORKSPACE_ALIGN: usize = 64;

/// The whole lines of a workspace.
///
/// # Safety
/// `ptr` is NULL or valid for reads and writes of `size` bytes as long as `'a`, by nobody else.
pub(super) unsafe fn workspace<'a>(ptr: *mut c_void, size: usize) -> Result<&'a mut [u64], Fault> {
    if size == 0 {
        return Ok(&mut []);
    }
    check_array::<u8>("workspace", ptr.cast(), size)?;
    let lost = ptr.align_offset(WORKSPACE_ALIGN);
    if lost >= size {
        return Ok(&mut []);
    }
    let start = ptr.cast::<u8>().wrapping_add(lost).cast::<u64>();
    // SAFETY: as promised by the caller, some of those bytes.
    unsafe { array_mut("workspace", start, (size - lost) / size_of::<u64>()) }
}

//! What takes no operator: copies, changes of layout, and from real numbers to bytes and back.

use super::{
    describe::*,
    input, kolibri_status, kolibri_status as Status,
    run::lend,
    status::{Fault, guard},
};
use crate::{
    Level, QuantParams, Quantized, Serial,
    ops::{self, copy},
};
use core::ffi::c_void;

/// `$body` with `$T` the type that `$dtype` says.
macro_rules! for_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match input::dtype($dtype)? {
            kolibri_dtype::F32 => {
                type $T = f32;
                $body
            }
            #[cfg(feature = "int8")]
            kolibri_dtype::I8 => {
                type $T = i8;
                $body
            }
            #[cfg(feature = "int8")]
            kolibri_dtype::U8 => {
                type $T = u8;
                $body
            }
            #[cfg(not(feature = "int8"))]
            _ => Err(input::not_built("int8")),
        }
    };
}

/// Copies an image into another of its shape: what a concat of values that lie elsewhere is made of. Bytes are copied as
/// they are; `kolibri_activate_create` makes an operator that changes what they stand for.
///
/// - `x`: the input, not NULL.
/// - `y`: the output, not NULL, of the same shape and type, apart from `x`. Not written where the call fails.
/// - `parallel`: threads that the caller lends; NULL for the calling thread only.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`, `INVALID_ZERO`,
/// `INVALID_OVERFLOW`, `INVALID_SHAPE`, `INVALID_STRIDE`, `INVALID_OVERLAP`, `INVALID_PARALLEL`,
/// `UNSUPPORTED_STRUCT_SIZE`, `INTERNAL_ERROR`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says, as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_copy(
    x: *const kolibri_image,
    y: *const kolibri_image_mut,
    parallel: *const kolibri_parallel,
) -> kolibri_status {
    guard(|| {
        // SAFETY: as promised by the caller.
        unsafe {
            let (x, y) = (input::read("x", x)?, input::read("y", y)?);
            for_dtype!(x.dtype, T => {
                let (x, y) = (input::image::<T>("x", &x)?, input::image_mut::<T>("y", &y)?);
                lend(parallel, |parallel| Ok(copy(x, y, parallel)?))
            })
        }
    })
}

/// Planes to channels: `y[i, y, x, j] = x[i][j][y][x]`.
///
/// - `x`: elements of the `dtype` of `y`, as `[n][c][h][w]`; the caller's, not NULL, apart from `y`.
/// - `len`: elements of `x`: `n * c * h * w` of `y`.
/// - `y`: the output, not NULL. Not written where the call fails.
/// - `parallel`: threads that the caller lends; NULL for the calling thread only.
///
/// Errors: as `kolibri_copy`, and `INVALID_ENVIRONMENT`, `UNSUPPORTED_OPERATOR`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says, as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_nchw_to_nhwc(
    x: *const c_void,
    len: usize,
    y: *const kolibri_image_mut,
    parallel: *const kolibri_parallel,
) -> kolibri_status {
    guard(|| {
        if !cfg!(feature = "shuffle") {
            return Err(input::not_built("shuffle"));
        }
        // SAFETY: as promised by the caller; that the two are apart is checked before anything is written.
        unsafe {
            let y = input::read("y", y)?;
            for_dtype!(y.dtype, T => {
                let (x, y) = (input::array::<T>("x", x.cast(), len)?, input::image_mut::<T>("y", &y)?);
                let kernels = Level::selected()?;
                lend(parallel, |parallel| Ok(ops::nchw_to_nhwc(kernels, x, y, parallel)?))
            })
        }
    })
}

/// Channels to planes: `y[i][j][y][x] = x[i, y, x, j]`.
///
/// - `x`: the input, not NULL.
/// - `y`: takes elements of the `dtype` of `x`, as `[n][c][h][w]`; the caller's, not NULL, apart from `x`. Not written where
///   the call fails.
/// - `len`: elements of `y`: `n * c * h * w` of `x`.
/// - `parallel`: threads that the caller lends; NULL for the calling thread only.
///
/// Errors: as `kolibri_copy`, and `INVALID_ENVIRONMENT`, `UNSUPPORTED_OPERATOR`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says, as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_nhwc_to_nchw(
    x: *const kolibri_image,
    y: *mut c_void,
    len: usize,
    parallel: *const kolibri_parallel,
) -> kolibri_status {
    guard(|| {
        if !cfg!(feature = "shuffle") {
            return Err(input::not_built("shuffle"));
        }
        // SAFETY: as promised by the caller; that the two are apart is checked before anything is written.
        unsafe {
            let x = input::read("x", x)?;
            for_dtype!(x.dtype, T => {
                let (x, y) = (input::image::<T>("x", &x)?, input::array_mut::<T>("y", y.cast(), len)?);
                let kernels = Level::selected()?;
                lend(parallel, |parallel| Ok(ops::nhwc_to_nchw(kernels, x, y, parallel)?))
            })
        }
    })
}

/// Real numbers to bytes: `y = clamp(round_half_even(x / scale) + zero_point)`; NaN becomes the zero point.
///
/// - `x`: the caller's, not NULL.
/// - `y`: takes bytes of `dtype`; the caller's, not NULL, apart from `x`. Not written where the call fails.
/// - `len`: elements of both.
/// - `dtype`: `KOLIBRI_DTYPE_I8` or `KOLIBRI_DTYPE_U8`.
/// - `params`: what the bytes stand for.
///
/// Errors: `INVALID_NULL`, `INVALID_VALUE`, `INVALID_ALIGNMENT`, `INVALID_OVERFLOW`, `INVALID_QUANTIZATION`,
/// `INVALID_OVERLAP`, `UNSUPPORTED_OPERATOR`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says, as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_quantize(
    x: *const f32,
    y: *mut c_void,
    len: usize,
    dtype: u32,
    params: kolibri_quant_params,
) -> kolibri_status {
    guard(|| {
        let params = input::quant_params(params);
        // SAFETY: as promised by the caller.
        unsafe {
            match input::dtype(dtype)? {
                #[cfg(feature = "int8")]
                kolibri_dtype::I8 => quantize::<i8>(x, y.cast(), len, params),
                #[cfg(feature = "int8")]
                kolibri_dtype::U8 => quantize::<u8>(x, y.cast(), len, params),
                #[cfg(not(feature = "int8"))]
                kolibri_dtype::I8 | kolibri_dtype::U8 => Err(input::not_built("int8")),
                kolibri_dtype::F32 => Err(input::invalid_value("dtype", dtype)),
            }
        }
    })
}

/// # Safety
/// `x` is NULL or valid for reads, `y` for writes, of `len` elements.
unsafe fn quantize<T: Quantized>(x: *const f32, y: *mut T, len: usize, params: QuantParams) -> Result<(), Fault> {
    // SAFETY: as promised by the caller, and `apart` of each other.
    unsafe {
        let x = input::array("x", x, len)?;
        apart(x, y, len)?;
        let y = input::array_mut("y", y, len)?;
        Ok(ops::quantise(Level::selected()?, x, params, y, &Serial)?)
    }
}

/// Bytes to real numbers: `y = scale * (x - zero_point)`.
///
/// - `x`: bytes of `dtype`; the caller's, not NULL.
/// - `y`: the caller's, not NULL, apart from `x`. Not written where the call fails.
/// - `len`: elements of both.
/// - `dtype`: `KOLIBRI_DTYPE_I8` or `KOLIBRI_DTYPE_U8`.
/// - `params`: what the bytes stand for.
///
/// Errors: as `kolibri_quantize`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says, as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_dequantize(
    x: *const c_void,
    y: *mut f32,
    len: usize,
    dtype: u32,
    params: kolibri_quant_params,
) -> kolibri_status {
    guard(|| {
        let params = input::quant_params(params);
        // SAFETY: as promised by the caller.
        unsafe {
            match input::dtype(dtype)? {
                #[cfg(feature = "int8")]
                kolibri_dtype::I8 => dequantize::<i8>(x.cast(), y, len, params),
                #[cfg(feature = "int8")]
                kolibri_dtype::U8 => dequantize::<u8>(x.cast(), y, len, params),
                #[cfg(not(feature = "int8"))]
                kolibri_dtype::I8 | kolibri_dtype::U8 => Err(input::not_built("int8")),
                kolibri_dtype::F32 => Err(input::invalid_value("dtype", dtype)),
            }
        }
    })
}

/// # Safety
/// `x` is NULL or valid for reads, `y` for writes, of `len` elements.
unsafe fn dequantize<T: Quantized>(x: *const T, y: *mut f32, len: usize, params: QuantParams) -> Result<(), Fault> {
    params.validate::<T>("params")?;
    // SAFETY: as promised by the caller, and `apart` of each other.
    unsafe {
        let x = input::array("x", x, len)?;
        apart(x, y, len)?;
        let y = input::array_mut("y", y, len)?;
        x.iter().zip(y).for_each(|(&x, y)| *y = params.dequantise(x));
    }
    Ok(())
}

/// Whether `y` shares no memory with `x`.
fn apart<A, B>(x: &[A], y: *mut B, len: usize) -> Result<(), Fault> {
    let x = x.as_ptr_range();
    let apart = x.end.addr() <= y.addr() || y.wrapping_add(len).addr() <= x.start.addr();
    if apart { Ok(()) } else { Err(Fault::new(Status::InvalidOverlap, "x: shares memory with the output")) }
}

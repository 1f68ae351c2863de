//! From descriptions to operators.

use super::{
    describe::*,
    input::{self, Dtype},
    kolibri_status, kolibri_status as Status,
    operator::{Operator, kolibri_operator},
    status::{Fault, guard},
};
use crate::{
    Activate, Activation, Add, Conv2d, ConvGeometry, Error, FullyConnected, Lookup, Quantized, Weights,
    ops::{Chain, ChannelShuffle, Fusion, Pool2d, SqueezeExcite, SqueezeExciteQuantization, SqueezeExciteWeights},
};
use core::ffi::c_void;

/// The body of every function that makes an operator.
///
/// # Safety
/// `desc` is as [`input::read`] wants it, `op` NULL or valid for a write.
unsafe fn create<D: input::Described>(
    desc: *const D,
    op: *mut *mut kolibri_operator,
    make: impl FnOnce(&D) -> Result<Operator, Fault>,
) -> kolibri_status {
    guard(|| {
        if op.is_null() {
            return Err(input::null("op"));
        }
        // SAFETY: as promised by the caller.
        let desc = unsafe { input::read("desc", desc)? };
        let made = Box::new(kolibri_operator(make(&desc)?));
        // SAFETY: as promised by the caller.
        unsafe { op.write_unaligned(Box::into_raw(made)) };
        Ok(())
    })
}

/// The operator that `$f32` makes of a description, or `$bytes` for their type, where the library was built with the
/// feature.
macro_rules! by_dtype {
    ($feature:tt, $desc:ident, $f32:ident, $bytes:ident) => {{
        let dtype = input::dtype($desc.dtype)?;
        #[cfg(feature = $feature)]
        return Ok(match dtype {
            kolibri_dtype::F32 => Operator::F32(Box::new($f32($desc)?)),
            #[cfg(feature = "int8")]
            kolibri_dtype::I8 => Operator::I8(Box::new($bytes::<i8>($desc)?)),
            #[cfg(feature = "int8")]
            kolibri_dtype::U8 => Operator::U8(Box::new($bytes::<u8>($desc)?)),
            #[cfg(not(feature = "int8"))]
            _ => return Err(input::not_built("int8")),
        });
        #[cfg(not(feature = $feature))]
        return Err(input::not_built($feature));
    }};
}

/// Makes a convolution; its second input is the residual, which may be left out.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`,
/// `INVALID_ZERO`, `INVALID_OVERFLOW`, `INVALID_GROUPS`, `INVALID_LAYOUT`, `INVALID_ACTIVATION`, `INVALID_QUANTIZATION`,
/// `UNSUPPORTED_ACTIVATION`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_conv2d_create(
    desc: *const kolibri_conv2d_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("capi", desc, conv2d_f32, conv2d_bytes)) }
}

fn geometry(desc: &kolibri_conv2d_desc) -> Result<ConvGeometry, Fault> {
    let (cin, cout, groups) = (desc.cin, desc.cout, desc.groups.max(1));
    Ok(ConvGeometry { cin, cout, groups, window: input::window(&desc.window)? })
}

/// Weights and biases of a convolution of `T`.
type Parameters<'a, T> = (Weights<'a, <T as Dtype>::Weight>, Option<&'a [<T as Dtype>::Bias]>);

/// # Safety
/// Pointers lead to what `desc` says, as long as `'a`.
unsafe fn parameters<'a, T: Dtype>(desc: &kolibri_conv2d_desc) -> Result<Parameters<'a, T>, Fault> {
    // SAFETY: as promised by the caller.
    let (weights, bias) = unsafe { arrays::<T>(desc.weights, desc.weights_len, desc.bias, desc.bias_len)? };
    let layout = match desc.weight_layout {
        0 => Weights::oihw,
        1 => Weights::ohwi,
        2 => Weights::hwc,
        other => return Err(input::invalid_value("weight_layout", other)),
    };
    Ok((layout(weights), bias))
}

/// # Safety
/// Pointers are NULL or lead to as many elements of their type, as long as `'a`.
#[allow(clippy::type_complexity)]
unsafe fn arrays<'a, T: Dtype>(
    weights: *const c_void,
    weights_len: usize,
    bias: *const c_void,
    bias_len: usize,
) -> Result<(&'a [T::Weight], Option<&'a [T::Bias]>), Fault> {
    // SAFETY: as promised by the caller.
    unsafe {
        let weights = input::array("weights", weights.cast(), weights_len)?;
        Ok((weights, input::optional_array("bias", bias.cast(), bias_len)?))
    }
}

/// # Safety
/// Pointers lead to what `desc` says; so for all functions below.
unsafe fn conv2d_f32(desc: &kolibri_conv2d_desc) -> Result<Conv2d<f32>, Fault> {
    // SAFETY: as promised by the caller.
    let (kernels, (weights, bias)) = unsafe { (input::kernels(desc.level)?, parameters::<f32>(desc)?) };
    Ok(Conv2d::f32_on(kernels, &geometry(desc)?, weights, bias, input::activation(&desc.activation)?)?)
}

unsafe fn conv2d_bytes<T: Quantized + Dtype<Weight = i8, Bias = i32>>(
    desc: &kolibri_conv2d_desc,
) -> Result<Conv2d<T>, Fault> {
    // SAFETY: as promised by the caller.
    let (kernels, (weights, bias), quantization) =
        unsafe { (input::kernels(desc.level)?, parameters::<T>(desc)?, input::quantization(&desc.quantization)?) };
    let (geometry, activation) = (geometry(desc)?, input::activation(&desc.activation)?);
    Ok(Conv2d::quantized_on(kernels, &geometry, weights, bias, &quantization, activation)?)
}

/// Makes a fully connected layer.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`,
/// `INVALID_ZERO`, `INVALID_OVERFLOW`, `INVALID_ACTIVATION`, `INVALID_QUANTIZATION`, `UNSUPPORTED_ACTIVATION`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_fully_connected_create(
    desc: *const kolibri_fully_connected_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("capi", desc, fully_connected_f32, fully_connected_bytes)) }
}

unsafe fn fully_connected_f32(desc: &kolibri_fully_connected_desc) -> Result<FullyConnected<f32>, Fault> {
    let kolibri_fully_connected_desc { cin, cout, weights, weights_len, bias, bias_len, .. } = *desc;
    // SAFETY: as promised by the caller.
    let (kernels, (weights, bias)) =
        unsafe { (input::kernels(desc.level)?, arrays::<f32>(weights, weights_len, bias, bias_len)?) };
    Ok(FullyConnected::f32_on(kernels, cin, cout, weights, bias, input::activation(&desc.activation)?)?)
}

unsafe fn fully_connected_bytes<T: Quantized + Dtype<Weight = i8, Bias = i32>>(
    desc: &kolibri_fully_connected_desc,
) -> Result<FullyConnected<T>, Fault> {
    let kolibri_fully_connected_desc { cin, cout, weights, weights_len, bias, bias_len, .. } = *desc;
    // SAFETY: as promised by the caller.
    let (kernels, (weights, bias), quantization) = unsafe {
        let arrays = arrays::<T>(weights, weights_len, bias, bias_len)?;
        (input::kernels(desc.level)?, arrays, input::quantization(&desc.quantization)?)
    };
    let activation = input::activation(&desc.activation)?;
    Ok(FullyConnected::quantized_on(kernels, cin, cout, weights, bias, &quantization, activation)?)
}

/// Makes a pool.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ZERO`, `INVALID_OVERFLOW`,
/// `INVALID_WINDOW`, `INVALID_ACTIVATION`, `INVALID_QUANTIZATION`, `UNSUPPORTED_ACTIVATION`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_pool2d_create(
    desc: *const kolibri_pool2d_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("pool", desc, pool2d_f32, pool2d_bytes)) }
}

unsafe fn pool2d_f32(desc: &kolibri_pool2d_desc) -> Result<Pool2d<f32>, Fault> {
    if input::activation(&desc.activation)? != Activation::None {
        let message = "activation: not offered on a pool of f32";
        return Err(Fault::new(Status::UnsupportedActivation, message));
    }
    // SAFETY: as promised by the caller.
    let kernels = unsafe { input::kernels(desc.level)? };
    Ok(match desc.kind {
        0 => Pool2d::max_on(kernels, input::window(&desc.window)?)?,
        1 => Pool2d::average_on(kernels, input::window(&desc.window)?, desc.count_include_padding != 0)?,
        2 => Pool2d::<f32>::global_average_on(kernels),
        other => return Err(input::invalid_value("kind", other)),
    })
}

unsafe fn pool2d_bytes<T: Quantized>(desc: &kolibri_pool2d_desc) -> Result<Pool2d<T>, Fault> {
    // SAFETY: as promised by the caller.
    let kernels = unsafe { input::kernels(desc.level)? };
    let (x, y) = (input::quant_params(desc.x), input::quant_params(desc.y));
    let pool = match desc.kind {
        0 => Pool2d::quantized_max_on(kernels, input::window(&desc.window)?)?,
        1 => Pool2d::quantized_average_on(kernels, input::window(&desc.window)?)?,
        2 => Pool2d::global_average_quantized_on(kernels, x, y)?,
        other => return Err(input::invalid_value("kind", other)),
    };
    let pool = if desc.count_include_padding == 0 { pool } else { pool.counting_padding(x.zero_point)? };
    let mode = input::requantization(desc.requantization)?;
    Ok(match input::activation(&desc.activation)? {
        Activation::None => pool,
        activation => pool.with_activation(y, activation, mode)?,
    })
}

/// Makes an addition; both inputs are required.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ACTIVATION`,
/// `INVALID_QUANTIZATION`, `UNSUPPORTED_ACTIVATION`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_add_create(
    desc: *const kolibri_add_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("capi", desc, add_f32, add_bytes)) }
}

unsafe fn add_f32(desc: &kolibri_add_desc) -> Result<Add<f32>, Fault> {
    // SAFETY: as promised by the caller.
    Ok(Add::f32_on(unsafe { input::kernels(desc.level)? }, input::activation(&desc.activation)?)?)
}

unsafe fn add_bytes<T: Quantized>(desc: &kolibri_add_desc) -> Result<Add<T>, Fault> {
    // SAFETY: as promised by the caller.
    let kernels = unsafe { input::kernels(desc.level)? };
    let [x, b, y] = [desc.x, desc.b, desc.y].map(input::quant_params);
    Ok(Add::quantized_on(kernels, x, b, y, input::activation(&desc.activation)?)?)
}

/// Makes a function of each element.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ACTIVATION`,
/// `INVALID_QUANTIZATION`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_activate_create(
    desc: *const kolibri_activate_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("capi", desc, activate_f32, activate_bytes)) }
}

unsafe fn activate_f32(desc: &kolibri_activate_desc) -> Result<Activate, Fault> {
    // SAFETY: as promised by the caller.
    Ok(Activate::f32_on(unsafe { input::kernels(desc.level)? }, input::activation(&desc.activation)?)?)
}

unsafe fn activate_bytes<T: Quantized>(desc: &kolibri_activate_desc) -> Result<Lookup<T>, Fault> {
    // SAFETY: as promised by the caller.
    let kernels = unsafe { input::kernels(desc.level)? };
    let (x, y) = (input::quant_params(desc.x), input::quant_params(desc.y));
    let mode = input::requantization(desc.requantization)?;
    Ok(match input::activation(&desc.activation)? {
        Activation::HardSwish => Lookup::hard_swish_on(kernels, x, y)?,
        Activation::Sigmoid => Lookup::sigmoid_on(kernels, x, y)?,
        clamp => Lookup::rescale_on(kernels, x, y)?.with_activation(y, clamp, mode)?,
    })
}

/// Makes a channel shuffle.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ZERO`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_channel_shuffle_create(
    desc: *const kolibri_channel_shuffle_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("shuffle", desc, channel_shuffle_f32, channel_shuffle_bytes)) }
}

unsafe fn channel_shuffle_f32(desc: &kolibri_channel_shuffle_desc) -> Result<ChannelShuffle, Fault> {
    // SAFETY: as promised by the caller.
    Ok(ChannelShuffle::new_on(unsafe { input::kernels(desc.level)? }, desc.groups)?)
}

unsafe fn channel_shuffle_bytes<T: Dtype>(desc: &kolibri_channel_shuffle_desc) -> Result<ChannelShuffle, Fault> {
    // SAFETY: as promised by the caller. The same operator takes any elements.
    unsafe { channel_shuffle_f32(desc) }
}

/// Makes a squeeze-excite.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`,
/// `UNSUPPORTED_STRUCT_SIZE`, `UNSUPPORTED_LEVEL`, `UNSUPPORTED_OPERATOR`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`,
/// `INVALID_ZERO`, `INVALID_OVERFLOW`, `INVALID_QUANTIZATION`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_squeeze_excite_create(
    desc: *const kolibri_squeeze_excite_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("squeeze-excite", desc, squeeze_excite_f32, squeeze_excite_bytes)) }
}

unsafe fn excite_weights<'a, T: Dtype>(
    desc: &kolibri_squeeze_excite_desc,
) -> Result<SqueezeExciteWeights<'a, T::Weight, T::Bias>, Fault> {
    let &kolibri_squeeze_excite_desc { c, reduced, w_reduce, w_reduce_len, b_reduce, b_reduce_len, .. } = desc;
    let &kolibri_squeeze_excite_desc { w_expand, w_expand_len, b_expand, b_expand_len, .. } = desc;
    // SAFETY: as promised by the caller.
    let ((w_reduce, b_reduce), (w_expand, b_expand)) = unsafe {
        let reduce = arrays::<T>(w_reduce, w_reduce_len, b_reduce, b_reduce_len)?;
        (reduce, arrays::<T>(w_expand, w_expand_len, b_expand, b_expand_len)?)
    };
    Ok(SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand })
}

unsafe fn squeeze_excite_f32(desc: &kolibri_squeeze_excite_desc) -> Result<SqueezeExcite<f32>, Fault> {
    // SAFETY: as promised by the caller.
    let (kernels, weights) = unsafe { (input::kernels(desc.level)?, excite_weights::<f32>(desc)?) };
    Ok(SqueezeExcite::f32_on(kernels, &weights)?)
}

unsafe fn squeeze_excite_bytes<T: Quantized + Dtype<Weight = i8, Bias = i32>>(
    desc: &kolibri_squeeze_excite_desc,
) -> Result<SqueezeExcite<T>, Fault> {
    // SAFETY: as promised by the caller.
    let (kernels, weights, reduce_scales, expand_scales) = unsafe {
        let reduce_scales = input::array("reduce_scales", desc.reduce_scales, desc.reduce_scales_len)?;
        let expand_scales = input::array("expand_scales", desc.expand_scales, desc.expand_scales_len)?;
        (input::kernels(desc.level)?, excite_weights::<T>(desc)?, reduce_scales, expand_scales)
    };
    let quantization = SqueezeExciteQuantization {
        x: input::quant_params(desc.x),
        average: input::quant_params(desc.average),
        reduce_scales,
        reduced: input::quant_params(desc.reduced_params),
        expand_scales,
        expanded: input::quant_params(desc.expanded),
        gate: input::quant_params(desc.gate),
        y: input::quant_params(desc.y),
        mode: input::requantization(desc.requantization)?,
    };
    Ok(SqueezeExcite::quantized_on(kernels, &weights, &quantization)?)
}

/// Makes a chain; its second input is the residual of the last convolution, which may be left out.
///
/// - `desc`: what it computes; the caller's, nothing of it is read later.
/// - `op`: takes the handle; not NULL, and not written where the call fails.
///
/// Errors: those of `kolibri_conv2d_create`, and `INVALID_CHAIN`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_chain_create(
    desc: *const kolibri_chain_desc,
    op: *mut *mut kolibri_operator,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    unsafe { create(desc, op, |desc| by_dtype!("chain", desc, chain_f32, chain_bytes)) }
}

unsafe fn chain_f32(desc: &kolibri_chain_desc) -> Result<Chain<f32>, Fault> {
    // SAFETY: as promised by the caller.
    unsafe { chain(desc, |conv| conv2d_f32(conv)) }
}

unsafe fn chain_bytes<T: Quantized + Dtype<Weight = i8, Bias = i32>>(
    desc: &kolibri_chain_desc,
) -> Result<Chain<T>, Fault> {
    // SAFETY: as promised by the caller.
    unsafe { chain(desc, |conv| conv2d_bytes(conv)) }
}

unsafe fn chain<T: Dtype>(
    desc: &kolibri_chain_desc,
    make: impl Fn(&kolibri_conv2d_desc) -> Result<Conv2d<T>, Fault>,
) -> Result<Chain<T>, Fault> {
    // SAFETY: as promised by the caller.
    let convs = unsafe { input::array("convs", desc.convs, desc.convs_len)? };
    if convs.len() > Chain::<T>::MOST {
        return Err(Error::ChainLength { most: Chain::<T>::MOST, got: convs.len() }.into());
    }
    let conv = |(i, &conv): (usize, &*const kolibri_conv2d_desc)| {
        // SAFETY: as promised by the caller.
        let conv = unsafe { input::read(&format!("convs[{i}]"), conv)? };
        if conv.dtype != desc.dtype {
            let message = format!("convs[{i}].dtype: expected that of the chain, {}, got {}", desc.dtype, conv.dtype);
            return Err(Fault::new(Status::InvalidChain, message));
        }
        make(&conv).map_err(|fault| Fault::new(fault.status, format!("convs[{i}]: {}", fault.message)))
    };
    let convs = convs.iter().enumerate().map(conv).collect::<Result<Vec<_>, _>>()?;
    let fusion = match desc.fusion {
        0 => return Ok(Chain::new(convs)?),
        1 => Fusion::Never,
        2 => Fusion::Always,
        3 => Fusion::Strips(desc.strip_rows),
        other => return Err(input::invalid_value("fusion", other)),
    };
    Ok(Chain::with_fusion(convs, fusion)?)
}

/// Frees an operator.
///
/// - `op`: a handle, which nobody uses any more; NULL does nothing.
///
/// # Safety
/// `op` is NULL, or was made by one of the functions above and not destroyed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_destroy(op: *mut kolibri_operator) {
    if !op.is_null() {
        guard(|| {
            // SAFETY: as promised by the caller, a box that `create` let go of.
            drop(unsafe { Box::from_raw(op) });
            Ok(())
        });
    }
}

//! What the structs of the C ABI mean, told apart from the library: by the scalar reference.

use super::Refused;
use crate::operators::{self, Layer, Value};
use kolibri::{
    Activation, ConvGeometry, Error, Image, ImageMut, Level, Padding, QuantParams, Quantization, Requantization,
    SqueezeExciteQuantization, SqueezeExciteWeights, Window, capi::*, kernels::Kernels, reference,
};
use std::{
    ffi::{CStr, c_char, c_void},
    slice,
};

impl From<Error> for Refused {
    fn from(_: Error) -> Refused {
        Refused
    }
}

type Result<T> = core::result::Result<T, Refused>;

/// An operator's description, in memory.
#[derive(Clone, Copy)]
pub enum Made {
    Conv(*const kolibri_conv2d_desc),
    Chain(*const kolibri_chain_desc),
    FullyConnected(*const kolibri_fully_connected_desc),
    Pool(*const kolibri_pool2d_desc),
    Add(*const kolibri_add_desc),
    Activate(*const kolibri_activate_desc),
    Shuffle(*const kolibri_channel_shuffle_desc),
    SqueezeExcite(*const kolibri_squeeze_excite_desc),
}

/// `f32`, `i8`, `u8`, with what the reference has for each.
pub trait Truth: Value {
    const DTYPE: u32;
    /// The least byte.
    const LEAST: i32;
    /// What the bytes of a layer stand for.
    fn scales_of(quantization: &kolibri_quantization) -> Result<Self::Scales>;
    fn pool(desc: &kolibri_pool2d_desc, x: Image<'_, Self>, y: ImageMut<'_, Self>) -> Result<()>;
    fn add(desc: &kolibri_add_desc, x: Image<'_, Self>, b: Image<'_, Self>, y: ImageMut<'_, Self>) -> Result<()>;
    fn activate(desc: &kolibri_activate_desc, x: Image<'_, Self>, y: ImageMut<'_, Self>) -> Result<()>;
    fn squeeze_excite(
        desc: &kolibri_squeeze_excite_desc,
        weights: &SqueezeExciteWeights<'_, Self::Weight, Self::Bias>,
        x: Image<'_, Self>,
        y: ImageMut<'_, Self>,
    ) -> Result<()>;
    /// Holds bytes against the real numbers of which they were made.
    ///
    /// # Safety
    /// Both are `len` elements.
    unsafe fn check_bytes(x: *const f32, y: *const Self, len: usize, params: kolibri_quant_params);
    /// Holds real numbers against the bytes of which they were made.
    ///
    /// # Safety
    /// As above.
    unsafe fn check_reals(x: *const f32, y: *const Self, len: usize, params: kolibri_quant_params);
}

/// A struct, copied.
///
/// # Safety
/// It is NULL or there.
unsafe fn read<D>(at: *const D) -> Result<D> {
    // SAFETY: as promised by the caller.
    if at.is_null() { Err(Refused) } else { Ok(unsafe { at.read_unaligned() }) }
}

/// # Safety
/// There are as many elements, or more than anything has.
unsafe fn array<'a, T>(at: *const T, len: usize) -> Result<&'a [T]> {
    let there = !at.is_null() && at.is_aligned() && len <= operators::MOST;
    // SAFETY: as promised by the caller.
    if there { Ok(unsafe { slice::from_raw_parts(at, len) }) } else { Err(Refused) }
}

/// # Safety
/// As for `array`.
unsafe fn optional<T: Clone>(at: *const c_void, len: usize) -> Result<Option<Vec<T>>> {
    // SAFETY: as promised by the caller.
    if at.is_null() && len == 0 { Ok(None) } else { Ok(Some(unsafe { array(at.cast::<T>(), len)? }.to_vec())) }
}

/// The kernels of a name, or those that are selected.
///
/// # Safety
/// NULL, or ended by a NUL.
pub unsafe fn kernels(name: *const c_char) -> Option<&'static Kernels> {
    if name.is_null() {
        return Level::selected().ok();
    }
    // SAFETY: as promised by the caller.
    Level::from_name(unsafe { CStr::from_ptr(name) }.to_str().ok()?)?.kernels()
}

/// # Safety
/// `image` is NULL or there; its memory is as long as it says, or longer than anything is.
unsafe fn image<'a, T: Truth>(at: *const kolibri_image) -> Result<Image<'a, T>> {
    // SAFETY: as promised by the caller.
    let image = unsafe { read(at)? };
    let kolibri_image { n, h, w, c, data, len, pixel_stride, .. } = image;
    let stride = if pixel_stride == 0 { c } else { pixel_stride };
    // SAFETY: as above.
    let data = unsafe { array(data.cast::<T>(), len)? };
    let needs = needs([n, h, w, c], stride)?;
    Ok(Image::strided(data.get(..needs).ok_or(Refused)?, n, h, w, c, stride)?)
}

/// # Safety
/// As for `image`.
unsafe fn image_mut<'a, T: Truth>(image: &kolibri_image_mut) -> Result<ImageMut<'a, T>> {
    let &kolibri_image_mut { n, h, w, c, data, len, pixel_stride, .. } = image;
    let stride = if pixel_stride == 0 { c } else { pixel_stride };
    let needs = needs([n, h, w, c], stride)?;
    if needs > len {
        return Err(Refused);
    }
    // SAFETY: as promised by the caller.
    let data = unsafe { slice::from_raw_parts_mut(data.cast::<T>(), needs) };
    Ok(ImageMut::strided(data, n, h, w, c, stride)?)
}

/// Elements of an image.
fn needs([n, h, w, c]: [usize; 4], stride: usize) -> Result<usize> {
    let last = n.checked_mul(h).and_then(|rows| rows.checked_mul(w)).and_then(|pixels| pixels.checked_sub(1));
    last.and_then(|last| last.checked_mul(stride)?.checked_add(c)).ok_or(Refused)
}

fn window(window: &kolibri_window) -> Result<Window> {
    let padding = match window.padding {
        0 => Padding::Valid,
        1 => Padding::Same,
        2 => {
            let [top, left, bottom, right] = window.pads;
            Padding::Explicit { top, left, bottom, right }
        }
        _ => return Err(Refused),
    };
    let [stride, dilation] = [window.stride, window.dilation].map(|pair| pair.map(|size| size.max(1)));
    Ok(Window { kernel: window.kernel, stride, dilation, padding })
}

fn activation(activation: &kolibri_activation_params) -> Result<Activation> {
    let kolibri_activation_params { kind, min, max } = *activation;
    let clamp = Activation::Clamp { min, max };
    let all =
        [Activation::None, Activation::Relu, Activation::Relu6, clamp, Activation::HardSwish, Activation::Sigmoid];
    all.get(kind as usize).copied().ok_or(Refused)
}

fn params(params: kolibri_quant_params) -> QuantParams {
    QuantParams { scale: params.scale, zero_point: params.zero_point }
}

fn mode(mode: u32) -> Result<Requantization> {
    [Requantization::FloatScale, Requantization::TfliteDouble].get(mode as usize).copied().ok_or(Refused)
}

fn geometry(desc: &kolibri_conv2d_desc) -> Result<ConvGeometry> {
    let kolibri_conv2d_desc { cin, cout, groups, .. } = *desc;
    Ok(ConvGeometry { cin, cout, groups: groups.max(1), window: window(&desc.window)? })
}

/// # Safety
/// Arrays are as long as they say, or longer than anything is.
unsafe fn layer<T: Truth>(desc: &kolibri_conv2d_desc) -> Result<Layer<T>> {
    // SAFETY: as promised by the caller.
    let (weights, bias) = unsafe {
        let weights = array(desc.weights.cast::<T::Weight>(), desc.weights_len)?.to_vec();
        (weights, optional(desc.bias, desc.bias_len)?)
    };
    let (activation, scales) = (activation(&desc.activation)?, T::scales_of(&desc.quantization)?);
    Layer::of(geometry(desc)?, desc.weight_layout, weights, bias, activation, scales).ok_or(Refused)
}

/// # Safety
/// As for `layer`.
unsafe fn layers<T: Truth>(desc: &kolibri_chain_desc) -> Result<Vec<Layer<T>>> {
    // SAFETY: as promised by the caller.
    unsafe {
        let convs = array(desc.convs, desc.convs_len)?;
        convs.iter().map(|&conv| layer(&read(conv)?)).collect()
    }
}

impl Made {
    /// # Safety
    /// What the description leads to is there.
    pub unsafe fn create(self, to: *mut *mut kolibri_operator) -> kolibri_status {
        // SAFETY: as promised by the caller.
        unsafe {
            match self {
                Made::Conv(desc) => kolibri_conv2d_create(desc, to),
                Made::Chain(desc) => kolibri_chain_create(desc, to),
                Made::FullyConnected(desc) => kolibri_fully_connected_create(desc, to),
                Made::Pool(desc) => kolibri_pool2d_create(desc, to),
                Made::Add(desc) => kolibri_add_create(desc, to),
                Made::Activate(desc) => kolibri_activate_create(desc, to),
                Made::Shuffle(desc) => kolibri_channel_shuffle_create(desc, to),
                Made::SqueezeExcite(desc) => kolibri_squeeze_excite_create(desc, to),
            }
        }
    }

    /// Channels that an input should have, if that is known, and the work on each pixel.
    ///
    /// # Safety
    /// As for `create`.
    pub unsafe fn image<T: Truth>(self) -> (Option<usize>, usize) {
        let work = |desc: &kolibri_conv2d_desc| geometry(desc).and_then(|g| Ok(g.weights()?)).unwrap_or(1);
        // SAFETY: as promised by the caller.
        let known = unsafe {
            match self {
                Made::Conv(desc) => read(desc).map(|desc| (Some(desc.cin), work(&desc))),
                Made::Chain(desc) => layers::<T>(&read(desc).unwrap_or(EMPTY)).map(|layers| {
                    let cin = layers.first().map(|first| first.geometry.cin);
                    (cin, layers.iter().map(|layer| layer.geometry.weights().unwrap_or(1)).sum())
                }),
                Made::FullyConnected(desc) => {
                    read(desc).map(|desc| (Some(desc.cin), desc.cin.saturating_mul(desc.cout)))
                }
                Made::Shuffle(desc) => read(desc).map(|desc| (Some(desc.groups.saturating_mul(5)), 100)),
                Made::SqueezeExcite(desc) => read(desc).map(|desc| (Some(desc.c), desc.c.saturating_mul(4))),
                Made::Pool(desc) => read(desc).map(|desc| (None, desc.window.kernel[0].saturating_mul(300))),
                Made::Add(_) | Made::Activate(_) => Ok((None, 100)),
            }
        };
        known.unwrap_or((None, 100))
    }

    /// Whether the reference would be busy for too long.
    ///
    /// # Safety
    /// As for `create`, and for the image.
    pub unsafe fn is_too_much<T: Truth>(self, x: *const kolibri_image) -> bool {
        // SAFETY: as promised by the caller.
        unsafe {
            let Ok([n, h, w, c]) = image::<T>(x).map(|x| x.shape()) else { return false };
            let work = match self {
                Made::Conv(desc) => read(desc).ok().and_then(|desc| Some(vec![geometry(&desc).ok()?])),
                Made::Chain(desc) => {
                    let layers = read(desc).and_then(|desc| layers::<T>(&desc));
                    layers.ok().map(|layers| layers.iter().map(|layer| layer.geometry).collect())
                }
                Made::Pool(desc) => {
                    // As a depthwise convolution, with a window that the image need not have.
                    let window = read(desc).and_then(|desc| window(&desc.window));
                    window.ok().map(|window| vec![ConvGeometry { cin: c, cout: c, groups: c, window }])
                }
                _ => None,
            };
            work.is_some_and(|geometries| operators::macs(&geometries, [n, h, w]) > 10 * super::WORK as u64)
        }
    }

    /// What the reference makes of it.
    ///
    /// # Safety
    /// As for `create`, and for the images.
    pub unsafe fn truth<T: Truth>(
        self,
        x: *const kolibri_image,
        b: *const kolibri_image,
        y: &kolibri_image_mut,
    ) -> Result<()> {
        // SAFETY: as promised by the caller.
        unsafe {
            let (x, second, y) = (image::<T>(x)?, !b.is_null(), image_mut::<T>(y)?);
            let b = if second { Some(image::<T>(b)?) } else { None };
            let unary = |done: Result<()>| if second { Err(Refused) } else { done };
            match self {
                Made::Conv(desc) => Ok(T::conv_truth(x, b, y, &layer(&read(desc)?)?)?),
                Made::Chain(desc) => {
                    let desc = read(desc)?;
                    let layers = layers(&desc)?;
                    if !(2..=8).contains(&layers.len()) || desc.fusion > 3 || desc.fusion == 3 && desc.strip_rows == 0 {
                        return Err(Refused);
                    }
                    Ok(operators::one_by_one(&layers, x, b, y)?)
                }
                Made::FullyConnected(desc) => {
                    let d = read(desc)?;
                    let [n, h, w, _] = x.shape();
                    if [h, w] != [1, 1] || second {
                        return Err(Refused);
                    }
                    let weights = array(d.weights.cast::<T::Weight>(), d.weights_len)?.to_vec();
                    let bias = optional(d.bias, d.bias_len)?;
                    let (act, scales) = (activation(&d.activation)?, T::scales_of(&d.quantization)?);
                    let geometry = ConvGeometry::new(d.cin, d.cout, [1, 1]);
                    let layer = Layer::of(geometry, 0, weights, bias, act, scales).ok_or(Refused)?;
                    // Rows that adjoin, as the reference has them.
                    let rows: Vec<T> = (0..n * x.shape()[3])
                        .filter_map(|i| x.get(i / x.shape()[3], 0, 0, i % x.shape()[3]).copied())
                        .collect();
                    if y.shape() != [n, 1, 1, d.cout] {
                        return Err(Refused);
                    }
                    let mut out = vec![T::CANARY; n * d.cout];
                    T::fully_connected_truth(&rows, n, &mut out, &layer)?;
                    Ok(reference::channel_shuffle(Image::nhwc(&out, n, 1, 1, d.cout)?, y, 1)?)
                }
                Made::Pool(desc) => unary(T::pool(&read(desc)?, x, y)),
                Made::Add(desc) => T::add(&read(desc)?, x, b.ok_or(Refused)?, y),
                Made::Activate(desc) => unary(T::activate(&read(desc)?, x, y)),
                Made::Shuffle(desc) => unary(Ok(reference::channel_shuffle(x, y, non_zero(read(desc)?.groups)?)?)),
                Made::SqueezeExcite(desc) => {
                    let d = &read(desc)?;
                    let weights = SqueezeExciteWeights {
                        c: d.c,
                        reduced: d.reduced,
                        w_reduce: array(d.w_reduce.cast(), d.w_reduce_len)?,
                        b_reduce: optional_array(d.b_reduce, d.b_reduce_len)?,
                        w_expand: array(d.w_expand.cast(), d.w_expand_len)?,
                        b_expand: optional_array(d.b_expand, d.b_expand_len)?,
                    };
                    unary(T::squeeze_excite(d, &weights, x, y))
                }
            }
        }
    }
}

/// What stands for a chain that is not there.
const EMPTY: kolibri_chain_desc =
    kolibri_chain_desc { struct_size: 0, dtype: 0, convs: std::ptr::null(), convs_len: 0, fusion: 0, strip_rows: 0 };

fn non_zero(groups: usize) -> Result<usize> {
    if groups == 0 { Err(Refused) } else { Ok(groups) }
}

/// # Safety
/// As for `array`.
unsafe fn optional_array<'a, T>(at: *const c_void, len: usize) -> Result<Option<&'a [T]>> {
    // SAFETY: as promised by the caller.
    if at.is_null() && len == 0 { Ok(None) } else { unsafe { array(at.cast(), len).map(Some) } }
}

/// # Safety
/// The images are NULL or there, and as large as they say.
pub unsafe fn copy<T: Truth>(x: *const kolibri_image, y: &kolibri_image_mut) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe { reference::channel_shuffle(image::<T>(x)?, image_mut(y)?, 1)? };
    Ok(())
}

/// # Safety
/// As above.
pub unsafe fn to_nhwc<T: Truth>(x: *const T, len: usize, y: &kolibri_image_mut) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe { reference::nchw_to_nhwc(array(x, len)?, image_mut(y)?)? };
    Ok(())
}

/// # Safety
/// As above; `y` is all elements in a row.
pub unsafe fn to_nchw<T: Truth>(x: *const kolibri_image, y: &kolibri_image_mut) -> Result<()> {
    // SAFETY: as promised by the caller.
    unsafe { reference::nhwc_to_nchw(image::<T>(x)?, slice::from_raw_parts_mut(y.data.cast(), y.len))? };
    Ok(())
}

impl Truth for f32 {
    const DTYPE: u32 = kolibri_dtype::F32 as u32;
    const LEAST: i32 = 0;

    fn scales_of(_: &kolibri_quantization) -> Result<()> {
        Ok(())
    }

    fn pool(desc: &kolibri_pool2d_desc, x: Image<'_>, y: ImageMut<'_>) -> Result<()> {
        if activation(&desc.activation)? != Activation::None {
            return Err(Refused);
        }
        Ok(match desc.kind {
            0 => reference::max_pool(x, y, &window(&desc.window)?),
            1 => reference::avg_pool(x, y, &window(&desc.window)?, desc.count_include_padding != 0),
            2 => reference::global_average(x, y),
            _ => return Err(Refused),
        }?)
    }

    fn add(desc: &kolibri_add_desc, x: Image<'_>, b: Image<'_>, y: ImageMut<'_>) -> Result<()> {
        Ok(reference::add(x, b, y, activation(&desc.activation)?)?)
    }

    fn activate(desc: &kolibri_activate_desc, x: Image<'_>, y: ImageMut<'_>) -> Result<()> {
        Ok(reference::activate_image(x, y, activation(&desc.activation)?)?)
    }

    fn squeeze_excite(
        _: &kolibri_squeeze_excite_desc,
        weights: &SqueezeExciteWeights<'_>,
        x: Image<'_>,
        y: ImageMut<'_>,
    ) -> Result<()> {
        Ok(reference::squeeze_excite(x, y, weights)?)
    }

    unsafe fn check_bytes(_: *const f32, _: *const f32, _: usize, _: kolibri_quant_params) {
        panic!("real numbers are no bytes");
    }

    unsafe fn check_reals(_: *const f32, _: *const f32, _: usize, _: kolibri_quant_params) {
        panic!("real numbers are no bytes");
    }
}

macro_rules! bytes {
    ($T:ty, $dtype:ident) => {
        impl Truth for $T {
            const DTYPE: u32 = kolibri_dtype::$dtype as u32;
            const LEAST: i32 = <$T>::MIN as i32;

            fn scales_of(q: &kolibri_quantization) -> Result<operators::Scales> {
                // SAFETY: as long as it says, or longer than anything is; a residual is there.
                let (weight_scales, residual) = unsafe {
                    let residual = if q.residual.is_null() { None } else { Some(array(q.residual, 1)?[0]) };
                    (array(q.weight_scales, q.weight_scales_len)?, residual.map(params))
                };
                let (x, y, mode) = (params(q.x), params(q.y), mode(q.requantization)?);
                Ok(operators::Scales::of(&Quantization { x, weight_scales, y, residual, mode }))
            }

            fn pool(desc: &kolibri_pool2d_desc, x: Image<'_, $T>, y: ImageMut<'_, $T>) -> Result<()> {
                let ([n, oh, ow, c], (of_x, of_y)) = (y.shape(), (params(desc.x), params(desc.y)));
                let mut whole = vec![0; n * oh * ow * c];
                let to = ImageMut::nhwc(&mut whole, n, oh, ow, c)?;
                let padding = (desc.count_include_padding != 0).then_some(of_x.zero_point);
                if padding.is_some_and(|byte| <$T>::try_from(byte).is_err()) {
                    return Err(Refused);
                }
                match desc.kind {
                    0 => reference::max_pool_quantized(x, to, &window(&desc.window)?),
                    1 => reference::avg_pool_quantized(x, to, &window(&desc.window)?, padding),
                    2 => reference::global_average_quantized(x, to, of_x, of_y),
                    _ => return Err(Refused),
                }?;
                let (from, mode) = (Image::nhwc(&whole, n, oh, ow, c)?, mode(desc.requantization)?);
                Ok(match activation(&desc.activation)? {
                    Activation::None => reference::channel_shuffle(from, y, 1),
                    clamp => reference::activate_quantized(from, y, of_y, clamp, mode),
                }?)
            }

            fn add(desc: &kolibri_add_desc, x: Image<'_, $T>, b: Image<'_, $T>, y: ImageMut<'_, $T>) -> Result<()> {
                let params = [desc.x, desc.b, desc.y].map(params);
                Ok(reference::add_quantized(x, b, y, params, activation(&desc.activation)?)?)
            }

            fn activate(desc: &kolibri_activate_desc, x: Image<'_, $T>, y: ImageMut<'_, $T>) -> Result<()> {
                let (of_x, of_y, mode) = (params(desc.x), params(desc.y), mode(desc.requantization)?);
                Ok(match activation(&desc.activation)? {
                    Activation::HardSwish => reference::hard_swish_quantized(x, y, of_x, of_y),
                    Activation::Sigmoid => reference::sigmoid_quantized(x, y, of_x, of_y),
                    clamp => {
                        let [n, h, w, c] = x.shape();
                        let mut whole = vec![0; n * h * w * c];
                        let to = ImageMut::nhwc(&mut whole, n, h, w, c)?;
                        reference::concat_quantized(&[x], to, &[of_x], of_y)?;
                        reference::activate_quantized(Image::nhwc(&whole, n, h, w, c)?, y, of_y, clamp, mode)
                    }
                }?)
            }

            fn squeeze_excite(
                d: &kolibri_squeeze_excite_desc,
                weights: &SqueezeExciteWeights<'_, i8, i32>,
                x: Image<'_, $T>,
                y: ImageMut<'_, $T>,
            ) -> Result<()> {
                // SAFETY: as long as they say, or longer than anything is.
                let (reduce_scales, expand_scales) = unsafe {
                    let reduce_scales = array(d.reduce_scales, d.reduce_scales_len)?;
                    (reduce_scales, array(d.expand_scales, d.expand_scales_len)?)
                };
                let q = SqueezeExciteQuantization {
                    x: params(d.x),
                    average: params(d.average),
                    reduce_scales,
                    reduced: params(d.reduced_params),
                    expand_scales,
                    expanded: params(d.expanded),
                    gate: params(d.gate),
                    y: params(d.y),
                    mode: mode(d.requantization)?,
                };
                Ok(reference::squeeze_excite_quantized(x, y, weights, &q)?)
            }

            unsafe fn check_bytes(x: *const f32, y: *const $T, len: usize, q: kolibri_quant_params) {
                for i in 0..len {
                    // SAFETY: as promised by the caller.
                    let (x, y) = unsafe { (*x.add(i), *y.add(i)) };
                    assert_eq!(y, params(q).quantise::<$T>(x), "{x}");
                }
            }

            unsafe fn check_reals(x: *const f32, y: *const $T, len: usize, q: kolibri_quant_params) {
                for i in 0..len {
                    // SAFETY: as promised by the caller.
                    let (x, y) = unsafe { (*x.add(i), *y.add(i)) };
                    assert_eq!(x.to_bits(), params(q).dequantise(y).to_bits(), "{y}");
                }
            }
        }
    };
}
bytes!(i8, I8);
bytes!(u8, U8);

//! What a caller describes: structs and arrays in memory, mostly such as the library takes.

use super::{
    Caller, Kind, WORK,
    truth::{Made, Truth},
};
use crate::operators::{CHANNELS, Data, MOST, Rng, Value};
use kolibri::{Level, capi::*};
use std::{
    ffi::{c_char, c_void},
    ptr::{null, null_mut},
};

impl Caller<'_, '_> {
    /// The name of a level, or NULL; in hostile calls also what is none.
    pub fn level(&mut self, which: u8) -> *const c_char {
        let levels: Vec<_> = Level::available().map(Level::name).collect();
        let mut name =
            levels.get(usize::from(which) % (levels.len() + 1)).map_or(vec![], |name| name.as_bytes().to_vec());
        if self.draw.hostile && self.draw.below(16) == 0 {
            name = [&b"avx9"[..], b"\xff\xfe", &[b'x'; 100], b" ", b"Avx2"][self.draw.below(5)].to_vec();
        }
        if name.is_empty() {
            return null();
        }
        name.push(0);
        self.pages.copy(&name, true).cast()
    }

    /// A struct in memory, at any address; in hostile calls it may be missing, or have been overwritten. What `keep` puts
    /// back is what the caller vouches for.
    pub fn put<D: Copy>(&mut self, mut desc: D, keep: impl Fn(&mut D, &D)) -> *const D {
        let held = desc;
        if self.rough {
            for _ in 0..=self.draw.below(3) {
                let with = match self.draw.flip() {
                    true => self.draw.any::<u64>(),
                    false => self.draw.spoilt(self.rng.next() as usize % 64) as u64,
                };
                let width = self.draw.pick(&[1, 4, 8]);
                let at = self.draw.below(size_of::<D>()).min(size_of::<D>() - width);
                // SAFETY: within the struct, which any bits are.
                unsafe {
                    let to = (&raw mut desc).cast::<u8>().add(at / width * width);
                    to.copy_from_nonoverlapping(with.to_le_bytes().as_ptr(), width);
                }
            }
            keep(&mut desc, &held);
        }
        if self.draw.hostile && self.draw.below(64) == 0 {
            return null();
        }
        // SAFETY: a struct of the C ABI, as bytes.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const desc).cast::<u8>(), size_of::<D>()) };
        self.pages.copy(bytes, self.draw.below(4) != 0).cast()
    }

    /// An array that should have `len` elements, and how many it says it has.
    pub fn array<V: Copy>(&mut self, len: usize, mut value: impl FnMut(&mut Rng, Data) -> V) -> (*mut V, usize) {
        let len = self.draw.spoilt(len).min(MOST);
        let at = self.pages.take(len * size_of::<V>(), self.draw.flip()).cast::<V>();
        for i in 0..len {
            // SAFETY: as many fit.
            unsafe { at.add(i).write(value(&mut self.rng, self.data)) };
        }
        if !self.draw.hostile {
            return (at, len);
        }
        match self.draw.any::<u8>() {
            0..=225 => (at, len),
            226..=229 => (null_mut(), len),
            230..=232 => (null_mut(), 0),
            233..=237 => (at.wrapping_byte_add(1), len.saturating_sub(1)),
            238..=243 => (at, len.saturating_sub(1)),
            244..=249 => (at, usize::MAX),
            _ => (at, isize::MAX as usize + 1),
        }
    }

    pub fn channels(&mut self) -> usize {
        let channels = if self.draw.below(4) == 0 { self.draw.pick(&CHANNELS) } else { 1 + self.draw.below(20) };
        self.draw.spoilt(channels)
    }

    /// Batch, height, width of an image of which each pixel takes so much work.
    pub fn size(&mut self, work: usize) -> [usize; 3] {
        let pixels = (WORK / work.max(1)).max(1);
        let h = 1 + self.draw.below(pixels.min(12));
        let w = 1 + self.draw.below((pixels / h).clamp(1, 16));
        let n = 1 + self.draw.below((pixels / (h * w)).clamp(1, 3));
        [n, h, w].map(|size| self.draw.spoilt(size))
    }

    pub fn pair(&mut self, most: usize) -> [usize; 2] {
        [self.draw.size(most), self.draw.size(most)]
    }

    pub fn window(&mut self, most: usize) -> kolibri_window {
        let kernel = self.pair(most);
        let stride = self.draw.pick(&[[0, 0], [1, 1], [2, 2], [1, 2], [3, 1]]);
        let dilation = self.draw.pick(&[[0, 0], [0, 0], [1, 1], [2, 1]]);
        let padding = self.draw.pick(&[0, 1, 2]);
        let pads = std::array::from_fn(|_| self.draw.below(kernel[0].min(kernel[1]).max(1)));
        let [stride, dilation] = [stride, dilation].map(|pair: [usize; 2]| pair.map(|size| self.draw.spoilt(size)));
        kolibri_window { kernel, stride, dilation, padding, pads: pads.map(|pad| self.draw.spoilt(pad)) }
    }

    pub fn activation(&mut self, of_bytes: bool) -> kolibri_activation_params {
        let some = if of_bytes && !self.draw.hostile { 4 } else { 6 };
        let kind = self.draw.below(some) as u32;
        let bounds = self.draw.pick(&[(0.0, 6.0), (-0.5, 0.25), (0.0, f32::INFINITY)]);
        let (min, max) = self.draw.or_wrong(bounds, &[(1.0, 0.0), (f32::NAN, 0.0)]);
        kolibri_activation_params { kind, min, max }
    }

    pub fn scale(&mut self, about: f32) -> f32 {
        let scale = about * (1.0 + self.draw.below(64) as f32 / 16.0);
        self.draw.or_wrong(scale, &[0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE])
    }

    pub fn params<T: Truth>(&mut self, about: f32) -> kolibri_quant_params {
        let zero_point = T::LEAST + self.draw.below(256) as i32;
        let zero_point = self.draw.or_wrong(zero_point, &[T::LEAST - 1, T::LEAST + 256, i32::MIN, i32::MAX]);
        kolibri_quant_params { scale: self.scale(about), zero_point }
    }

    pub fn requantization(&mut self) -> u32 {
        self.draw.below(2) as u32
    }

    pub fn scales(&mut self, outputs: usize) -> (*mut f32, usize) {
        let len = if self.draw.flip() { 1 } else { outputs };
        let scale = self.scale(1.0 / 64.0);
        self.array(len, |_, _| scale)
    }

    pub fn quantization<T: Truth>(&mut self, outputs: usize) -> kolibri_quantization {
        let (weight_scales, weight_scales_len) = self.scales(outputs);
        let residual = self.params::<T>(4.0);
        let residual = if self.draw.flip() { self.put(residual, |_, _| ()) } else { null() };
        let (x, y, requantization) = (self.params::<T>(1.0), self.params::<T>(4.0), self.requantization());
        // A misaligned struct is refused.
        kolibri_quantization { x, y, weight_scales, weight_scales_len, residual, requantization }
    }

    pub fn weights<T: Truth>(&mut self, len: usize) -> (*const c_void, usize) {
        let (at, len) = self.array(len, <T::Weight as Value>::random);
        (at.cast_const().cast(), len)
    }

    pub fn bias<T: Truth>(&mut self, len: usize) -> (*const c_void, usize) {
        if self.draw.flip() {
            return (null(), 0);
        }
        let (at, len) = self.array(len, T::bias);
        (at.cast_const().cast(), len)
    }

    /// `struct_size`, as it should be.
    pub fn struct_size<D>(&mut self) -> usize {
        self.draw.spoilt(size_of::<D>())
    }

    pub fn dtype<T: Truth>(&mut self) -> u32 {
        // Of the others arrays would not be as long as they say.
        self.draw.or_wrong(T::DTYPE, &[0, 4, u32::MAX])
    }

    pub fn conv<T: Truth>(&mut self, depthwise: bool, cin: Option<usize>) -> kolibri_conv2d_desc {
        let cin = cin.unwrap_or_else(|| self.channels());
        let (cin, cout, groups) = match self.draw.below(4) {
            _ if depthwise => (cin, cin, cin),
            0 if cin.is_multiple_of(2) => (cin, self.channels().saturating_mul(2), 2),
            _ => (cin, self.channels(), self.draw.below(2)),
        };
        let window = self.window(if depthwise { 7 } else { 3 });
        let [kh, kw] = window.kernel;
        let each = cin / groups.max(1);
        let len = cout.saturating_mul(each).saturating_mul(kh).saturating_mul(kw);
        let layouts = if each == 1 { 3 } else { 2 };
        let weight_layout = self.draw.below(layouts) as u32;
        let ((weights, weights_len), (bias, bias_len)) = (self.weights::<T>(len), self.bias::<T>(cout));
        kolibri_conv2d_desc {
            struct_size: self.struct_size::<kolibri_conv2d_desc>(),
            dtype: self.dtype::<T>(),
            level: self.level,
            cin,
            cout,
            groups: self.draw.spoilt(groups),
            window,
            weight_layout: self.draw.or_wrong(weight_layout, &[2, 3, u32::MAX]),
            weights,
            weights_len,
            bias,
            bias_len,
            activation: self.activation(size_of::<T>() == 1),
            quantization: self.quantization::<T>(cout),
        }
    }

    pub fn put_conv<T: Truth>(&mut self, desc: kolibri_conv2d_desc) -> *const kolibri_conv2d_desc {
        self.put(desc, |to, held| {
            keep_dtype(&mut to.dtype, held.dtype);
            (to.level, to.weights, to.weights_len) = (held.level, held.weights, held.weights_len);
            (to.bias, to.bias_len) = (held.bias, held.bias_len);
            keep_quantization(&mut to.quantization, &held.quantization);
        })
    }

    /// What the kind says, in memory.
    pub fn make<T: Truth>(&mut self, kind: Kind) -> Made {
        let of_bytes = size_of::<T>() == 1;
        match kind {
            Kind::Chain => {
                let mut convs = Vec::new();
                for _ in 0..2 + self.draw.below(3) {
                    let cin = convs.last().map(|conv: &kolibri_conv2d_desc| conv.cout);
                    let depthwise = self.draw.flip();
                    convs.push(self.conv::<T>(depthwise, cin));
                }
                let convs: Vec<_> = convs.into_iter().map(|conv| self.put_conv::<T>(conv)).collect();
                let mut convs = convs.into_iter();
                let (at, convs_len) = self.array(convs.len(), |_, _| convs.next().unwrap_or(null()));
                let desc = kolibri_chain_desc {
                    struct_size: self.struct_size::<kolibri_chain_desc>(),
                    dtype: self.dtype::<T>(),
                    convs: at,
                    convs_len,
                    fusion: self.draw.below(4) as u32,
                    strip_rows: self.draw.size(9),
                };
                Made::Chain(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    (to.convs, to.convs_len) = (held.convs, held.convs_len);
                }))
            }
            Kind::FullyConnected => {
                let (cin, cout) = (self.channels(), self.channels());
                let (weights, weights_len) = self.weights::<T>(cin.saturating_mul(cout));
                let (bias, bias_len) = self.bias::<T>(cout);
                let desc = kolibri_fully_connected_desc {
                    struct_size: self.struct_size::<kolibri_fully_connected_desc>(),
                    dtype: self.dtype::<T>(),
                    level: self.level,
                    cin,
                    cout,
                    weights,
                    weights_len,
                    bias,
                    bias_len,
                    activation: self.activation(of_bytes),
                    quantization: self.quantization::<T>(cout),
                };
                Made::FullyConnected(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    (to.level, to.weights, to.weights_len) = (held.level, held.weights, held.weights_len);
                    (to.bias, to.bias_len) = (held.bias, held.bias_len);
                    keep_quantization(&mut to.quantization, &held.quantization);
                }))
            }
            Kind::Pool => {
                let desc = kolibri_pool2d_desc {
                    struct_size: self.struct_size::<kolibri_pool2d_desc>(),
                    dtype: self.dtype::<T>(),
                    level: self.level,
                    kind: self.draw.below(3) as u32,
                    window: self.window(5),
                    count_include_padding: self.draw.below(2) as u32,
                    x: self.params::<T>(1.0),
                    y: self.params::<T>(1.0),
                    activation: if of_bytes { self.activation(true) } else { NO_ACTIVATION },
                    requantization: self.requantization(),
                };
                Made::Pool(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    to.level = held.level;
                }))
            }
            Kind::Add => {
                let desc = kolibri_add_desc {
                    struct_size: self.struct_size::<kolibri_add_desc>(),
                    dtype: self.dtype::<T>(),
                    level: self.level,
                    activation: self.activation(of_bytes),
                    x: self.params::<T>(1.0),
                    b: self.params::<T>(1.0),
                    y: self.params::<T>(1.0),
                };
                Made::Add(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    to.level = held.level;
                }))
            }
            Kind::Activate => {
                let desc = kolibri_activate_desc {
                    struct_size: self.struct_size::<kolibri_activate_desc>(),
                    dtype: self.dtype::<T>(),
                    level: self.level,
                    activation: self.activation(false),
                    x: self.params::<T>(1.0),
                    y: self.params::<T>(1.0),
                    requantization: self.requantization(),
                };
                Made::Activate(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    to.level = held.level;
                }))
            }
            Kind::Shuffle => {
                let desc = kolibri_channel_shuffle_desc {
                    struct_size: self.struct_size::<kolibri_channel_shuffle_desc>(),
                    dtype: self.dtype::<T>(),
                    level: self.level,
                    groups: self.draw.size(8),
                };
                Made::Shuffle(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    to.level = held.level;
                }))
            }
            Kind::SqueezeExcite => {
                let (c, reduced) = (self.channels(), self.draw.size(12));
                let len = c.saturating_mul(reduced);
                let ((w_reduce, w_reduce_len), (b_reduce, b_reduce_len)) =
                    (self.weights::<T>(len), self.bias::<T>(reduced));
                let ((w_expand, w_expand_len), (b_expand, b_expand_len)) = (self.weights::<T>(len), self.bias::<T>(c));
                let ((reduce_scales, reduce_scales_len), (expand_scales, expand_scales_len)) =
                    (self.scales(reduced), self.scales(c));
                let desc = kolibri_squeeze_excite_desc {
                    struct_size: self.struct_size::<kolibri_squeeze_excite_desc>(),
                    dtype: self.dtype::<T>(),
                    level: self.level,
                    c,
                    reduced,
                    w_reduce,
                    w_reduce_len,
                    b_reduce,
                    b_reduce_len,
                    w_expand,
                    w_expand_len,
                    b_expand,
                    b_expand_len,
                    x: self.params::<T>(1.0),
                    average: self.params::<T>(1.0),
                    reduce_scales,
                    reduce_scales_len,
                    reduced_params: self.params::<T>(0.05),
                    expand_scales,
                    expand_scales_len,
                    expanded: self.params::<T>(0.05),
                    gate: self.params::<T>(1.0 / 256.0),
                    y: self.params::<T>(1.0),
                    requantization: self.requantization(),
                };
                Made::SqueezeExcite(self.put(desc, |to, held| {
                    keep_dtype(&mut to.dtype, held.dtype);
                    (to.level, to.w_reduce, to.w_reduce_len) = (held.level, held.w_reduce, held.w_reduce_len);
                    (to.b_reduce, to.b_reduce_len) = (held.b_reduce, held.b_reduce_len);
                    (to.w_expand, to.w_expand_len) = (held.w_expand, held.w_expand_len);
                    (to.b_expand, to.b_expand_len) = (held.b_expand, held.b_expand_len);
                    (to.reduce_scales, to.reduce_scales_len) = (held.reduce_scales, held.reduce_scales_len);
                    (to.expand_scales, to.expand_scales_len) = (held.expand_scales, held.expand_scales_len);
                }))
            }
            _ => {
                let depthwise = matches!(kind, Kind::Depthwise);
                let desc = self.conv::<T>(depthwise, None);
                Made::Conv(self.put_conv::<T>(desc))
            }
        }
    }
}

const NO_ACTIVATION: kolibri_activation_params = kolibri_activation_params { kind: 0, min: 0.0, max: 0.0 };

/// An invalid type may stay; another valid one would make arrays longer than they are.
pub fn keep_dtype(to: &mut u32, held: u32) {
    if (1..=3).contains(to) {
        *to = held;
    }
}

fn keep_quantization(to: &mut kolibri_quantization, held: &kolibri_quantization) {
    (to.weight_scales, to.weight_scales_len, to.residual) = (held.weight_scales, held.weight_scales_len, held.residual);
}

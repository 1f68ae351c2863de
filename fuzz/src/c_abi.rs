//! The C ABI as callers use and misuse it. Arrays are as long as they say, or so long that nothing could be; all else may be
//! wrong. What is accepted must come out as the scalar reference has it, which reads the same structs by itself; what is
//! refused leaves the output alone.

mod pages;
mod truth;

use crate::{
    draw::Draw,
    operators::{CHANNELS, Data, Element, MOST, Rng},
};
use arbitrary::Arbitrary;
use kolibri::{Level, capi::*};
use pages::{PAGES, Pages};
use std::{
    ffi::{c_char, c_void},
    ptr::{null, null_mut},
};
use truth::{Made, Truth};

/// Multiply-adds of a run, about: edges of tiles are for the other target, here calls count.
const WORK: usize = 2000;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Conv,
    Depthwise,
    Chain,
    FullyConnected,
    Pool,
    Add,
    Activate,
    Shuffle,
    SqueezeExcite,
    Copy,
    ToNhwc,
    ToNchw,
    Bytes,
    Names,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    element: Element,
    data: Data,
    /// One call in three is hostile, and every second of those overwrites fields with anything.
    manners: u8,
    level: u8,
    seed: u16,
}

/// Makes, queries and runs the operator that `data` is.
pub fn c_abi(data: &[u8]) {
    let mut draw = Draw::new(data);
    let header: Header = draw.any();
    draw.hostile = header.manners >= 170;
    let (rough, rng) = (header.manners >= 213, Rng::new(header.seed.into()));
    PAGES.with_borrow_mut(|pages| {
        pages.reset();
        let mut caller = Caller { draw: &mut draw, rng, data: header.data, pages, rough, level: null() };
        caller.level = caller.level(header.level);
        match header.element {
            Element::F32 => caller.call::<f32>(header.kind),
            Element::I8 => caller.call::<i8>(header.kind),
            Element::U8 => caller.call::<u8>(header.kind),
        }
    });
}

/// Who calls, and the memory that they have.
struct Caller<'a, 'd> {
    draw: &'a mut Draw<'d>,
    rng: Rng,
    data: Data,
    pages: &'a mut Pages,
    rough: bool,
    level: *const c_char,
}

/// A handle, which is destroyed at the end.
struct Handle(*mut kolibri_operator);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by the library, and nobody else has it.
        unsafe { kolibri_destroy(self.0) }
    }
}

/// What a failure looks like.
fn check_failure(status: kolibri_status) {
    assert_ne!(status, kolibri_status::InternalError);
    let mut text = [1 as c_char; 16];
    // SAFETY: the buffer is as long as it says.
    let len = unsafe { kolibri_last_error(text.as_mut_ptr(), text.len()) };
    assert!(len > 0 && text[len.min(15)] == 0, "{status:?} without a message");
}

impl Caller<'_, '_> {
    /// The name of a level, or NULL; in hostile calls also what is none.
    fn level(&mut self, which: u8) -> *const c_char {
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
    fn put<D: Copy>(&mut self, mut desc: D, keep: impl Fn(&mut D, &D)) -> *const D {
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
    fn array<V: Copy>(&mut self, len: usize, mut value: impl FnMut(&mut Rng, Data) -> V) -> (*mut V, usize) {
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

    fn channels(&mut self) -> usize {
        let channels = if self.draw.below(4) == 0 { self.draw.pick(&CHANNELS) } else { 1 + self.draw.below(20) };
        self.draw.spoilt(channels)
    }

    /// Batch, height, width of an image of which each pixel takes so much work.
    fn size(&mut self, work: usize) -> [usize; 3] {
        let pixels = (WORK / work.max(1)).max(1);
        let h = 1 + self.draw.below(pixels.min(12));
        let w = 1 + self.draw.below((pixels / h).clamp(1, 16));
        let n = 1 + self.draw.below((pixels / (h * w)).clamp(1, 3));
        [n, h, w].map(|size| self.draw.spoilt(size))
    }

    fn pair(&mut self, most: usize) -> [usize; 2] {
        [self.draw.size(most), self.draw.size(most)]
    }

    fn window(&mut self, most: usize) -> kolibri_window {
        let kernel = self.pair(most);
        let stride = self.draw.pick(&[[0, 0], [1, 1], [2, 2], [1, 2], [3, 1]]);
        let dilation = self.draw.pick(&[[0, 0], [0, 0], [1, 1], [2, 1]]);
        let padding = self.draw.pick(&[0, 1, 2]);
        let pads = std::array::from_fn(|_| self.draw.below(kernel[0].min(kernel[1]).max(1)));
        let [stride, dilation] = [stride, dilation].map(|pair: [usize; 2]| pair.map(|size| self.draw.spoilt(size)));
        kolibri_window { kernel, stride, dilation, padding, pads: pads.map(|pad| self.draw.spoilt(pad)) }
    }

    fn activation(&mut self, of_bytes: bool) -> kolibri_activation_params {
        let some = if of_bytes && !self.draw.hostile { 4 } else { 6 };
        let kind = self.draw.below(some) as u32;
        let bounds = self.draw.pick(&[(0.0, 6.0), (-0.5, 0.25), (0.0, f32::INFINITY)]);
        let (min, max) = self.draw.or_wrong(bounds, &[(1.0, 0.0), (f32::NAN, 0.0)]);
        kolibri_activation_params { kind, min, max }
    }

    fn scale(&mut self, about: f32) -> f32 {
        let scale = about * (1.0 + self.draw.below(64) as f32 / 16.0);
        self.draw.or_wrong(scale, &[0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE])
    }

    fn params<T: Truth>(&mut self, about: f32) -> kolibri_quant_params {
        let zero_point = T::LEAST + self.draw.below(256) as i32;
        let zero_point = self.draw.or_wrong(zero_point, &[T::LEAST - 1, T::LEAST + 256, i32::MIN, i32::MAX]);
        kolibri_quant_params { scale: self.scale(about), zero_point }
    }

    fn requantization(&mut self) -> u32 {
        self.draw.below(2) as u32
    }

    fn scales(&mut self, outputs: usize) -> (*mut f32, usize) {
        let len = if self.draw.flip() { 1 } else { outputs };
        let scale = self.scale(1.0 / 64.0);
        self.array(len, |_, _| scale)
    }

    fn quantization<T: Truth>(&mut self, outputs: usize) -> kolibri_quantization {
        let (weight_scales, weight_scales_len) = self.scales(outputs);
        let residual = self.params::<T>(4.0);
        let residual = if self.draw.flip() { self.put(residual, |_, _| ()) } else { null() };
        let (x, y, requantization) = (self.params::<T>(1.0), self.params::<T>(4.0), self.requantization());
        // A misaligned struct is refused.
        kolibri_quantization { x, y, weight_scales, weight_scales_len, residual, requantization }
    }

    fn weights<T: Truth>(&mut self, len: usize) -> (*const c_void, usize) {
        let (at, len) = self.array(len, <T::Weight as crate::operators::Value>::random);
        (at.cast_const().cast(), len)
    }

    fn bias<T: Truth>(&mut self, len: usize) -> (*const c_void, usize) {
        if self.draw.flip() {
            return (null(), 0);
        }
        let (at, len) = self.array(len, T::bias);
        (at.cast_const().cast(), len)
    }

    /// `struct_size`, as it should be.
    fn struct_size<D>(&mut self) -> usize {
        self.draw.spoilt(size_of::<D>())
    }

    fn dtype<T: Truth>(&mut self) -> u32 {
        // Of the others arrays would not be as long as they say.
        self.draw.or_wrong(T::DTYPE, &[0, 4, u32::MAX])
    }

    fn conv<T: Truth>(&mut self, depthwise: bool, cin: Option<usize>) -> kolibri_conv2d_desc {
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

    fn put_conv<T: Truth>(&mut self, desc: kolibri_conv2d_desc) -> *const kolibri_conv2d_desc {
        self.put(desc, |to, held| {
            keep_dtype(&mut to.dtype, held.dtype);
            (to.level, to.weights, to.weights_len) = (held.level, held.weights, held.weights_len);
            (to.bias, to.bias_len) = (held.bias, held.bias_len);
            keep_quantization(&mut to.quantization, &held.quantization);
        })
    }

    /// What the kind says, in memory.
    fn make<T: Truth>(&mut self, kind: Kind) -> Made {
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

    fn call<T: Truth>(&mut self, kind: Kind) {
        match kind {
            Kind::Copy => self.copy::<T>(),
            Kind::ToNhwc => self.nchw_to_nhwc::<T>(),
            Kind::ToNchw => self.nhwc_to_nchw::<T>(),
            Kind::Bytes => self.bytes::<T>(),
            Kind::Names => self.names(),
            _ => self.operator::<T>(kind),
        }
    }

    /// An image of about that shape, as large as it says, of values that `value` gives.
    fn image<T: Truth>(&mut self, shape: [usize; 4], value: impl FnMut(&mut Rng, Data) -> T) -> kolibri_image {
        let [n, h, w, c] = shape.map(|size| self.draw.spoilt(size));
        let more = self.draw.pick(&[0, 0, 1, 16]);
        let stride = c.saturating_add(more);
        let pixels = n.saturating_mul(h).saturating_mul(w);
        let len = pixels.saturating_sub(1).saturating_mul(stride).saturating_add(c);
        let (data, len) = self.array(len, value);
        let pixel_stride = if more == 0 && self.draw.flip() { 0 } else { self.draw.spoilt(stride) };
        let (struct_size, dtype) = (self.struct_size::<kolibri_image>(), self.dtype::<T>());
        kolibri_image { struct_size, dtype, data: data.cast(), len, n, h, w, c, pixel_stride }
    }

    fn input<T: Truth>(&mut self, shape: [usize; 4]) -> *const kolibri_image {
        let image = self.image::<T>(shape, T::random);
        self.put(image, keep_image)
    }

    /// Where an output of about that shape goes: in memory of its own, or in hostile calls in that of the input.
    fn output<T: Truth>(&mut self, shape: [usize; 4], x: *const kolibri_image) -> *const kolibri_image_mut {
        let mut image = self.image::<T>(shape, |_, _| T::CANARY);
        if self.draw.hostile && self.draw.below(16) == 0 && !x.is_null() {
            // SAFETY: put there before.
            let x = unsafe { x.read_unaligned() };
            let after = self.draw.below(9).min(x.len);
            if !x.data.is_null() && x.len <= MOST {
                image.data = x.data.cast::<T>().wrapping_add(after).cast();
                image.len = x.len - after;
                image.pixel_stride = self.draw.pick(&[image.pixel_stride, x.pixel_stride]);
            }
        }
        let kolibri_image { struct_size, dtype, data, len, n, h, w, c, pixel_stride } = image;
        let data = data.cast_mut();
        let image = kolibri_image_mut { struct_size, dtype, data, len, n, h, w, c, pixel_stride };
        self.put(image, |to, held| {
            keep_dtype(&mut to.dtype, held.dtype);
            (to.data, to.len) = (held.data, held.len);
        })
    }

    /// Threads that may be none, or not do what they should. Whether they do.
    fn parallel(&mut self) -> (*const kolibri_parallel, usize, bool) {
        let threads = self.draw.pick(&[0, 1, 2, 3, 8]);
        if threads == 0 {
            return (null(), 1, true);
        }
        let lazy = self.draw.hostile && self.draw.below(16) == 0;
        let lent = Lent { seed: self.rng.next(), lazy };
        // SAFETY: a struct of numbers, as bytes.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const lent).cast::<u8>(), size_of::<Lent>()) };
        let ctx = self.pages.copy(bytes, false).cast_mut().cast();
        let parallel = kolibri_parallel {
            struct_size: self.struct_size::<kolibri_parallel>(),
            threads: self.draw.spoilt(threads),
            parallel_for: if self.draw.or_wrong(true, &[false]) { Some(scrambled) } else { None },
            ctx,
        };
        (self.put(parallel, |to, held| (to.parallel_for, to.ctx) = (held.parallel_for, held.ctx)), threads, !lazy)
    }

    fn operator<T: Truth>(&mut self, kind: Kind) {
        let made = self.make::<T>(kind);
        let mut handle = Handle(null_mut());
        let to = if self.draw.hostile && self.draw.below(64) == 0 { null_mut() } else { &raw mut handle.0 };
        // SAFETY: what was made leads to what it says.
        let status = unsafe { made.create(to) };
        if status != kolibri_status::Success {
            check_failure(status);
            assert!(handle.0.is_null());
        }
        // SAFETY: as above.
        let (about, work) = unsafe { made.image::<T>() };
        let c = about.unwrap_or_else(|| self.channels());
        let [n, h, w] = self.size(work);
        let shape = [n, h, w, c];

        let ask = shape.map(|size| self.draw.spoilt(size));
        let mut out = [0; 4];
        // SAFETY: a handle or NULL, four sizes.
        let status = unsafe { kolibri_output_shape(handle.0, ask.as_ptr(), out.as_mut_ptr()) };
        if status != kolibri_status::Success {
            check_failure(status);
            assert_eq!(out, [0; 4]);
            out = ask;
        }
        let x = self.input::<T>(shape);
        let b_given = match kind {
            Kind::Add => self.draw.or_wrong(true, &[false]),
            Kind::Conv | Kind::Depthwise | Kind::Chain => self.draw.flip(),
            _ => self.draw.or_wrong(false, &[true]),
        };
        let b = match b_given {
            true if self.draw.below(4) == 0 => x,
            true => self.input::<T>(out),
            false => null(),
        };
        let y = self.output::<T>(out, x);
        let (parallel, threads, all) = self.parallel();
        let mut bytes = 0;
        // SAFETY: as above.
        let status = unsafe { kolibri_workspace_size(handle.0, shape.as_ptr(), threads, &mut bytes) };
        if status != kolibri_status::Success {
            check_failure(status);
        }
        // SAFETY: the images lead to what they say, where they are there.
        let busy = unsafe { made.is_too_much::<T>(x) };
        if bytes > Pages::LARGEST / 2 || busy {
            return;
        }
        let wrong = [bytes.saturating_sub(64), bytes / 2, 0, usize::MAX];
        let bytes = self.draw.or_wrong(bytes, &wrong);
        let shift = self.draw.pick(&[0, 1, 8]);
        let workspace = match self.draw.or_wrong(true, &[false]) {
            true => self.pages.take(bytes.min(Pages::LARGEST / 2) + shift, true),
            false => null_mut(),
        };
        // SAFETY: all that is passed is as large as it says, and handles are none's but ours.
        unsafe {
            self.compare::<T>(
                y,
                all,
                |y| made.truth::<T>(x, b, y),
                || kolibri_run(handle.0, x, b, y, workspace.cast(), bytes, parallel),
            );
        }
    }

    /// Runs `run`, then holds what `y` became against what `truth` makes of it.
    ///
    /// # Safety
    /// `y` is NULL or leads to a description of memory that is as long as it says, or longer than anything is.
    unsafe fn compare<T: Truth>(
        &mut self,
        y: *const kolibri_image_mut,
        all: bool,
        truth: impl FnOnce(&kolibri_image_mut) -> Result<(), Refused>,
        run: impl FnOnce() -> kolibri_status,
    ) {
        // SAFETY: as promised by the caller.
        let held = unsafe { y.as_ref().map(|_| y.read_unaligned()) };
        let memory = held.filter(|y| !y.data.is_null() && y.data.cast::<T>().is_aligned() && y.len <= MOST);
        // SAFETY: as above.
        let now = |y: &kolibri_image_mut| unsafe { std::slice::from_raw_parts(y.data.cast::<T>(), y.len).to_vec() };
        let before = memory.as_ref().map_or(vec![], now);
        let mut expected = before.clone();
        let truth = match memory {
            Some(y) => truth(&kolibri_image_mut { data: expected.as_mut_ptr().cast(), ..y }),
            None => Err(Refused),
        };
        let status = run();
        let after = memory.as_ref().map_or(vec![], now);
        if status != kolibri_status::Success {
            check_failure(status);
            assert!(self.draw.hostile || truth.is_err(), "{status:?}, which the reference computes");
            assert!(
                !all || after.iter().zip(&before).all(|(a, b)| a.same(*b)),
                "{status:?}, and something was written"
            );
            return;
        }
        assert!(truth.is_ok(), "the reference refuses it");
        // SAFETY: a name or NULL.
        let exact = unsafe { truth::kernels(self.level) }.is_some_and(T::exact);
        for (i, (got, expected)) in after.iter().zip(&expected).enumerate() {
            let untouched = expected.same(before[i]);
            assert!(got.same(*expected) || !exact && !untouched, "{i}: {got:?}, the reference {expected:?}");
        }
    }

    fn copy<T: Truth>(&mut self) {
        let c = self.channels();
        let [n, h, w] = self.size(c);
        let x = self.input::<T>([n, h, w, c]);
        let y = self.output::<T>([n, h, w, c], x);
        let (parallel, _, all) = self.parallel();
        // SAFETY: all that is passed is as large as it says.
        unsafe {
            self.compare::<T>(y, all, |y| truth::copy::<T>(x, y), || kolibri_copy(x, y, parallel));
        }
    }

    fn nchw_to_nhwc<T: Truth>(&mut self) {
        let c = self.channels();
        let [n, h, w] = self.size(c);
        let (x, len) = self.array(n.saturating_mul(h).saturating_mul(w).saturating_mul(c), T::random);
        let y = self.output::<T>([n, h, w, c], null());
        let (parallel, _, all) = self.parallel();
        let call = || {
            // SAFETY: all that is passed is as large as it says.
            unsafe { kolibri_nchw_to_nhwc(x.cast_const().cast(), len, y, parallel) }
        };
        // SAFETY: as above.
        unsafe { self.compare::<T>(y, all, |y| truth::to_nhwc::<T>(x, len, y), call) };
    }

    fn nhwc_to_nchw<T: Truth>(&mut self) {
        let c = self.channels();
        let [n, h, w] = self.size(c);
        let x = self.input::<T>([n, h, w, c]);
        let (y, len) = self.array(n.saturating_mul(h).saturating_mul(w).saturating_mul(c), |_, _| T::CANARY);
        let (parallel, _, all) = self.parallel();
        // Compared as if it were an image.
        let (struct_size, dtype) = (size_of::<kolibri_image_mut>(), T::DTYPE);
        let data = y.cast();
        let as_image = kolibri_image_mut { struct_size, dtype, data, len, n: 1, h: 1, w: 1, c: len, pixel_stride: 0 };
        // SAFETY: all that is passed is as large as it says.
        unsafe {
            let run = || kolibri_nhwc_to_nchw(x, y.cast(), len, parallel);
            self.compare::<T>(&as_image, all, |y| truth::to_nchw::<T>(x, y), run);
        }
    }

    /// From real numbers to bytes and back.
    fn bytes<T: Truth>(&mut self) {
        let params = self.params::<T>(1.0);
        let (dtype, len) = (self.dtype::<T>(), 1 + self.draw.below(300));
        let (x, x_len) = self.array(len, <f32 as crate::operators::Value>::random);
        let (y, y_len) = self.array(len, |_, _| T::CANARY);
        let len = if x_len.max(y_len) > MOST { usize::MAX } else { x_len.min(y_len) };
        // SAFETY: both arrays have as many elements.
        let status = unsafe { kolibri_quantize(x, y.cast(), len, dtype, params) };
        if status != kolibri_status::Success {
            return check_failure(status);
        }
        // SAFETY: as above; it was accepted.
        unsafe { T::check_bytes(x, y, len, params) };
        // SAFETY: as above.
        let status = unsafe { kolibri_dequantize(y.cast_const().cast(), x, len, dtype, params) };
        assert_eq!(status, kolibri_status::Success);
        // SAFETY: as above.
        unsafe { T::check_reals(x, y, len, params) };
    }

    /// Names go into buffers of any length.
    fn names(&mut self) {
        let len = self.draw.below(20);
        let buffer = self.pages.take(len, true).cast::<c_char>();
        let index = self.draw.spoilt(self.rng.next() as usize % 400);
        let mut length = usize::MAX;
        // SAFETY: the buffer is as long as it says.
        let status = unsafe {
            match self.draw.below(3) {
                0 => kolibri_level(index, buffer, len, &mut length),
                1 => kolibri_selected_level(buffer, len, &mut length),
                _ => kolibri_kernel(self.level, index, buffer, len, &mut length),
            }
        };
        match status {
            kolibri_status::Success => assert!((1..64).contains(&length)),
            status => check_failure(status),
        }
    }
}

const NO_ACTIVATION: kolibri_activation_params = kolibri_activation_params { kind: 0, min: 0.0, max: 0.0 };

/// What the reference does not compute either.
#[derive(Debug)]
struct Refused;

/// An invalid type may stay; another valid one would make arrays longer than they are.
fn keep_dtype(to: &mut u32, held: u32) {
    if (1..=3).contains(to) {
        *to = held;
    }
}

fn keep_quantization(to: &mut kolibri_quantization, held: &kolibri_quantization) {
    (to.weight_scales, to.weight_scales_len, to.residual) = (held.weight_scales, held.weight_scales_len, held.residual);
}

fn keep_image(to: &mut kolibri_image, held: &kolibri_image) {
    keep_dtype(&mut to.dtype, held.dtype);
    (to.data, to.len) = (held.data, held.len);
}

/// How threads are lent.
#[derive(Clone, Copy)]
struct Lent {
    seed: u64,
    /// The last task is left out.
    lazy: bool,
}

/// Runs tasks in any order, some of them more than once, and some that do not exist.
unsafe extern "C" fn scrambled(ctx: *mut c_void, n: usize, task: kolibri_task, arg: *mut c_void) {
    // SAFETY: what `parallel` put there.
    let Lent { seed, lazy } = unsafe { ctx.cast::<Lent>().read_unaligned() };
    let mut rng = Rng::new(seed);
    let n = if lazy { n - 1 } else { n };
    let run = |i| {
        // SAFETY: while `parallel_for` runs.
        unsafe { task.expect("a task")(arg, i) }
    };
    if !lazy {
        (0..n / 2).for_each(|_| run(rng.next() as usize % (n + 1)));
        run(usize::MAX);
    }
    (0..n).rev().for_each(run);
}

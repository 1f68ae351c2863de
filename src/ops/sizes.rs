//! Sizes as on a machine of 32 bits: of whatever is accepted every size fits, in bytes, `i32`.
//!
//! On a machine of 64 bits this finds results that do not fit; built for one of 32, with overflow checked as it is in tests,
//! also steps on the way to them. Operators have no weights here, as those would fill the memory.

use super::*;
use crate::{
    Activation, ConvGeometry, Image, Level, Padding, QuantParams, Quantization, Quantized, Requantization, Window,
    error::{LIMIT, limit},
    kernels::Kernels,
    quant::{Requantizer, Ties},
    tensor::Element,
};
use alloc::vec::Vec;

const MOST: usize = i32::MAX as usize;

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Small, near a power of two, or near a limit.
    fn size(&mut self) -> usize {
        let near = match self.below(6) {
            0 => return self.below(u32::MAX as usize),
            1 => 1 << self.below(32),
            2 => limit() / (1 + self.below(64)),
            3 => u32::MAX as usize - 1,
            _ => return 1 + self.below(9),
        };
        near - 1 + self.below(3)
    }

    /// Sizes whose product is near the limit or, in some of them, anything.
    fn sizes<const N: usize>(&mut self) -> [usize; N] {
        let mut rest = limit() >> self.below(16);
        let mut sizes = [(); N].map(|_| {
            let bits = usize::BITS - rest.leading_zeros();
            let size = ((1 << self.below(bits as usize)) + self.below(3)).min(rest);
            rest /= size;
            size
        });
        sizes[N - 1] *= rest;
        for i in 1..N {
            sizes.swap(i, self.below(i + 1));
        }
        if self.one_in(6) {
            sizes[self.below(N)] = self.size();
        }
        sizes
    }

    fn window(&mut self, kernel: [usize; 2]) -> Window {
        let padding = match self.below(4) {
            0 | 1 => Padding::Valid,
            2 => Padding::Same,
            _ => {
                let [top, left, bottom, right] =
                    [(); 4].map(|_| if self.one_in(3) { self.size() } else { self.below(4) });
                Padding::Explicit { top, left, bottom, right }
            }
        };
        let [stride, dilation] = [4, 8].map(|n| [(); 2].map(|_| if self.one_in(n) { self.size() } else { 1 }));
        Window { kernel, stride, dilation, padding }
    }

    fn geometry(&mut self) -> ConvGeometry {
        let [a, b, mut kh, mut kw] = self.sizes();
        if self.one_in(2) {
            (kh, kw) = [(1, 1), (3, 3), (5, 5), (1, 3)][self.below(4)];
        }
        let (cin, cout, groups) = match self.below(4) {
            0 => (a, a, a),
            1 => (a, a.saturating_mul(b), a),
            2 => (a.saturating_mul(2), a, a),
            _ => (a, b, 1),
        };
        ConvGeometry { cin, cout, groups, window: self.window([kh, kw]) }
    }

    /// Batch, height, width and channels of an image.
    fn image(&mut self, channels: Option<usize>) -> [usize; 4] {
        let [n, h, w, c] = self.sizes();
        let Some(c) = channels else { return [n, h, w, c] };
        let n = if self.one_in(2) { n } else { 1 };
        [n, h, w, c]
    }

    fn threads(&mut self) -> usize {
        if self.one_in(3) { self.size() } else { 1 + self.below(64) }
    }
}

/// An operator's way of making a convolution without weights.
trait Unpacked: Element {
    fn conv(kernels: &'static Kernels, g: ConvGeometry, residual: bool) -> Result<(Conv2d<Self>, usize), Error>;
    fn excite(kernels: &'static Kernels) -> Self::Excite;
}

impl Unpacked for f32 {
    fn conv(kernels: &'static Kernels, g: ConvGeometry, _: bool) -> Result<(Conv2d<f32>, usize), Error> {
        g.validate()?;
        let conv = ConvF32::unpacked(kernels, g, Activation::None)?;
        let packed = conv.packed_len();
        Ok((Conv2d::new(g, conv), packed))
    }

    fn excite(kernels: &'static Kernels) -> ExciteF32 {
        ExciteF32 { kernels, average: Pool2d::global_average_on(kernels) }
    }
}

const PARAMS: QuantParams = QuantParams::new(0.5, 0);

fn unpacked_bytes<T: Quantized>(
    kernels: &'static Kernels,
    g: ConvGeometry,
    residual: bool,
) -> Result<(Conv2d<T>, usize), Error> {
    g.validate()?;
    let residual = residual.then_some(PARAMS);
    let mode = Requantization::FloatScale;
    let quantization = Quantization { x: PARAMS, weight_scales: &[0.5], y: PARAMS, residual, mode };
    let requantizer = Requantizer::new::<T>(1, &quantization, Activation::None, Ties::Conv)?;
    let flip_in = if (T::MIN < 0) == kernels.int8.signed { 0 } else { 0x80 };
    let conv = ConvI8::unpacked(kernels, g, requantizer, true, 0, flip_in)?;
    let packed = conv.packed_len();
    Ok((Conv2d::new(g, conv), packed))
}

fn excite_bytes<T: Quantized>(kernels: &'static Kernels) -> ExciteI8<T> {
    let (x, y, scales, mode) = (PARAMS, PARAMS, &[0.5][..], Requantization::FloatScale);
    let quantization = SqueezeExciteQuantization {
        x,
        average: x,
        reduce_scales: scales,
        reduced: x,
        expand_scales: scales,
        expanded: x,
        gate: x,
        y,
        mode,
    };
    ExciteI8::new(kernels, &quantization).expect("valid")
}

impl Unpacked for u8 {
    fn conv(kernels: &'static Kernels, g: ConvGeometry, residual: bool) -> Result<(Conv2d<u8>, usize), Error> {
        unpacked_bytes(kernels, g, residual)
    }

    fn excite(kernels: &'static Kernels) -> ExciteI8<u8> {
        excite_bytes(kernels)
    }
}

impl Unpacked for i8 {
    fn conv(kernels: &'static Kernels, g: ConvGeometry, residual: bool) -> Result<(Conv2d<i8>, usize), Error> {
        unpacked_bytes(kernels, g, residual)
    }

    fn excite(kernels: &'static Kernels) -> ExciteI8<i8> {
        excite_bytes(kernels)
    }
}

/// Bytes of a product, which is of sizes that may not fit a machine of 32 bits.
fn bytes(factors: &[usize]) -> u64 {
    factors.iter().fold(1u64, |all, &factor| all.saturating_mul(factor as u64))
}

/// Runs `case` on many seeds, with the limit of a machine of 32 bits; it says whether it got to the end. Some must.
fn cases(count: u64, case: impl Fn(&mut Rng, &'static Kernels) -> Result<(), Error>) {
    LIMIT.set(Some(MOST / 64));
    for kernels in Level::available().filter_map(Level::kernels) {
        let accepted = (0..count).filter(|&seed| match case(&mut Rng(seed), kernels) {
            Ok(()) => true,
            Err(Error::Memory { bytes }) => panic!("{seed}: {bytes} bytes"),
            Err(_) => false,
        });
        let accepted = accepted.count() as u64;
        assert!(accepted > count / 50, "{:?}: {accepted} of {count} accepted", kernels.level);
    }
    LIMIT.set(None);
}

macro_rules! fits {
    ($($size:expr),* $(,)?) => { $( assert!($size as u64 <= MOST as u64, "{} is {}", stringify!($size), $size) );* };
}

/// Views of images that do not exist: nothing is read.
fn view<T>([n, h, w, c]: [usize; 4], stride: usize) -> Result<Image<'static, T>, Error> {
    // SAFETY: of this one sizes are asked, nothing else.
    unsafe { Image::from_ptr(core::ptr::NonNull::dangling().as_ptr(), n, h, w, c, stride) }
}

#[test]
fn windows_and_images() {
    cases(20_000, |rng, _| {
        let [kh, kw, ..] = rng.sizes::<4>();
        let (window, [n, h, w, c]) = (rng.window([kh, kw]), rng.image(None));
        let stride = if rng.one_in(3) { rng.size() } else { c };
        view::<f32>([n, h, w, c], stride)?;
        fits!(bytes(&[n, h, w, stride, 4]));
        let [oh, ow] = window.output_size(h, w)?;
        fits!(oh, ow);
        check_pool_window(&window)?;
        fits!(bytes(&window.kernel));
        Ok(())
    });
}

fn convolutions<T: Unpacked>() {
    cases(30_000, |rng, kernels| {
        let (g, residual) = (rng.geometry(), rng.one_in(2));
        let (conv, packed) = T::conv(kernels, g, residual)?;
        fits!(packed, bytes(&[g.weights()?, size_of::<T>()]), bytes(&[g.parameters()?, 4]));
        fits!(conv.parameter_bytes(), bytes(&[g.cin, g.window.kernel[1], 4]));
        let [n, h, w, _] = rng.image(Some(g.cin));
        let threads = rng.threads();
        fits!(conv.workspace_len([n, h, w], threads)?);
        let _ = conv.macs([n, h, w]);
        conv.kernel_names();
        Ok(())
    });
}

#[test]
fn convolutions_f32() {
    convolutions::<f32>();
}

#[test]
fn convolutions_u8() {
    convolutions::<u8>();
}

#[test]
fn convolutions_i8() {
    convolutions::<i8>();
}

fn chains<T: Unpacked>() {
    cases(10_000, |rng, kernels| {
        let [n, h, w, cin] = rng.image(None);
        let mut channels = cin;
        let convs: Result<Vec<_>, Error> = (0..2 + rng.below(3))
            .map(|_| {
                let [cout, kh, kw] = rng.sizes();
                let kernel = if rng.one_in(4) { [kh, kw] } else { [[1, 1], [3, 3]][rng.below(2)] };
                let depthwise = rng.one_in(2);
                let cout = if depthwise { channels } else { cout };
                let groups = if depthwise { channels } else { 1 };
                let g = ConvGeometry { cin: channels, cout, groups, window: rng.window(kernel) };
                channels = cout;
                Ok(T::conv(kernels, g, rng.one_in(2))?.0)
            })
            .collect();
        let strips = rng.size();
        let fusion = [Fusion::ByCost, Fusion::Never, Fusion::Always, Fusion::Strips(strips)][rng.below(4)];
        let chain = Chain::with_fusion(convs?, fusion)?;
        let threads = rng.threads();
        fits!(chain.strip_rows([n, h, w])?.unwrap_or(0));
        fits!(chain.workspace_len([n, h, w], threads)?);
        Ok(())
    });
}

#[test]
fn chains_f32() {
    chains::<f32>();
}

#[test]
fn chains_i8() {
    chains::<i8>();
}

fn others<T: Unpacked>() {
    cases(10_000, |rng, kernels| {
        let [c, reduced] = rng.sizes();
        let layer = |cin, cout| {
            let (conv, packed) = T::conv(kernels, ConvGeometry::new(cin, cout, [1, 1]), false)?;
            fits!(packed);
            Ok(FullyConnected { conv })
        };
        let (reduce, expand) = (layer(c, reduced)?, layer(reduced, c)?);
        let ([n, h, w, _], threads) = (rng.image(Some(c)), rng.threads());
        fits!(reduce.workspace_len(n, threads)?);
        let excite = SqueezeExcite { c, reduced, reduce, expand, path: T::excite(kernels) };
        fits!(excite.workspace_len([n, h, w], threads)?);
        Ok(())
    });
}

#[test]
fn others_f32() {
    others::<f32>();
}

#[test]
fn others_u8() {
    others::<u8>();
}

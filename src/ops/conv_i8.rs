//! Convolution of bytes: the geometry chooses the kernels.

use super::{
    Scratch, check_conv_weights,
    conv2d::{Conv2d, ConvPath, Images},
    depthwise_i8::{Depthwise, To},
    gather::Gather,
    gemm_i8::{Block, Gemm},
    run_parts,
};
use crate::{
    Activation, ConvGeometry, Error, Level, Parallel, Weights,
    error::product,
    geometry::Placed,
    kernels::{Kernels, RequantiseI8},
    pack::Pieces,
    packed::Packed,
    quant::{Quantization, Quantized, Requantizer, Rescale, Ties},
    tensor::Raw,
};
use alloc::{boxed::Box, vec::Vec};
use core::ops::Range;

/// Packed weights of bytes and the kernels for them.
pub struct ConvI8 {
    kernels: &'static Kernels,
    requantizer: Requantizer,
    /// Whether without a residual a kernel's own epilogue does all there is to do.
    plain: bool,
    /// The input's zero point.
    zero: u8,
    /// What differs between the input's bytes and what the level multiplies.
    flip_in: u8,
    path: Path,
}

enum Path {
    Depthwise(Box<Depthwise>),
    Gemm(Box<Gemm>),
}

impl<T: Quantized> Conv2d<T> {
    /// Packs bytes for the best level of this CPU: weights are symmetric, their zero point is 0.
    ///
    /// # Errors
    /// As [`Conv2d::f32`]; scales that are not positive and finite, whose number is neither one nor that of the output
    /// channels, or whose ratio overflows; zero points out of range; hard-swish, which is an operator of its own on bytes.
    pub fn quantized(
        geometry: &ConvGeometry,
        weights: Weights<'_, i8>,
        bias: Option<&[i32]>,
        quantization: &Quantization<'_>,
        activation: Activation,
    ) -> Result<Self, Error> {
        Self::quantized_on(Level::selected()?, geometry, weights, bias, quantization, activation)
    }

    /// Packs bytes for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Conv2d::quantized`].
    pub fn quantized_on(
        kernels: &'static Kernels,
        geometry: &ConvGeometry,
        weights: Weights<'_, i8>,
        bias: Option<&[i32]>,
        quantization: &Quantization<'_>,
        activation: Activation,
    ) -> Result<Self, Error> {
        let ties = weights.ties(geometry);
        Self::new_quantized(kernels, geometry, weights, bias, quantization, activation, ties)
    }

    pub(crate) fn new_quantized(
        kernels: &'static Kernels,
        geometry: &ConvGeometry,
        weights: Weights<'_, i8>,
        bias: Option<&[i32]>,
        quantization: &Quantization<'_>,
        activation: Activation,
        ties: Ties,
    ) -> Result<Self, Error> {
        check_conv_weights(geometry, weights, bias, activation)?;
        let requantizer = Requantizer::new::<T>(geometry.cout, quantization, activation, ties)?;
        let g = *geometry;
        let ([_, kw], cin, n) = (g.window.kernel, g.group_cin(), g.group_cout());
        let weight = |o: usize, k: usize| *weights.at(&g, o, k % cin, k / cin / kw, k / cin % kw);
        // The input in the level's terms.
        let least = if kernels.int8.signed { -128 } else { 0 };
        let zero_point = quantization.x.zero_point - T::MIN + least;
        let bias = |o: usize| bias.map_or(0, |bias| bias[o]);
        let plain = {
            // The value that is farthest from zero.
            let farthest = f64::from((quantization.x.zero_point - T::MIN).max(T::MAX - quantization.x.zero_point));
            let sum = |o: usize| (0..g.taps() * cin).map(|k| f64::from(weight(o, k).unsigned_abs())).sum::<f64>();
            let largest: Vec<_> = (0..g.cout).map(|o| f64::from(bias(o).unsigned_abs()) + farthest * sum(o)).collect();
            requantizer.is_plain(|o| largest[o])
        };
        let flip_in = if least == T::MIN { 0 } else { 0x80 };
        let mut conv = ConvI8::unpacked(kernels, g, requantizer, plain, quantization.x.zero_point as u8, flip_in)?;
        let head = |o: usize| {
            let sum = (0..g.taps() * cin).fold(0i32, |sum, k| sum.wrapping_add(weight(o, k).into()));
            let bias = bias(o).wrapping_sub(sum.wrapping_mul(zero_point));
            (bias, conv.requantizer.float_scale(o))
        };
        match &mut conv.path {
            Path::Depthwise(depthwise) => depthwise.pack(conv.zero, head, |tap, c| weight(c, tap)),
            Path::Gemm(gemm) => {
                let head = |group: usize, column: usize| head(group * n + column);
                let weight = |group: usize, k: usize, column: usize| weight(group * n + column, k);
                gemm.pack(g.taps() * cin, head, weight);
            }
        }
        Ok(Conv2d::new(g, conv))
    }
}

impl ConvI8 {
    /// Without weights, of a geometry that was checked.
    pub(super) fn unpacked(
        kernels: &'static Kernels,
        g: ConvGeometry,
        requantizer: Requantizer,
        plain: bool,
        zero: u8,
        flip_in: u8,
    ) -> Result<Self, Error> {
        let path = if g.is_depthwise() {
            let sums = requantizer.residual.is_some() || !plain;
            Path::Depthwise(Box::new(Depthwise::unpacked(kernels, g, flip_in, sums)?))
        } else {
            Path::Gemm(Box::new(Gemm::unpacked(kernels, g.groups, g.group_cout(), g.taps() * g.group_cin())?))
        };
        Ok(ConvI8 { kernels, requantizer, plain, zero, flip_in, path })
    }

    /// Packed bytes.
    #[cfg(test)]
    pub(super) fn packed_len(&self) -> usize {
        match &self.path {
            Path::Depthwise(depthwise) => depthwise.packed_len(),
            Path::Gemm(gemm) => gemm.packed_len(),
        }
    }

    /// Whether kernels leave sums, which become bytes afterwards.
    fn leaves_sums(&self, residual: bool) -> bool {
        residual || !self.plain
    }

    /// Words for `pixels` of sums, which come first in the memory of a task.
    fn sums_words(&self, cout: usize, pixels: usize) -> usize {
        let sums = if self.leaves_sums(self.requantizer.residual.is_some()) { pixels } else { 0 };
        sums.saturating_mul(cout).div_ceil(2)
    }

    /// Sums of `channels` of `pixels` become bytes.
    ///
    /// # Safety
    /// `sums` are those of the pixels, rows of all channels; the pixels exist, and nobody else touches these channels of
    /// them.
    unsafe fn finish(
        &self,
        sums: *const i32,
        y: &Raw<u8>,
        residual: Option<&Raw<u8>>,
        pixels: Range<usize>,
        channels: Range<usize>,
    ) {
        let r = &self.requantizer;
        let output = r.output();
        match (&r.rescale, r.residual) {
            (Rescale::Float(scales), quantized) => {
                let at = |raw: &Raw<u8>| raw.pixel(pixels.start).wrapping_add(channels.start);
                let args = RequantiseI8 {
                    sums: sums.wrapping_add(channels.start),
                    sums_stride: y.c,
                    scales: scales.as_ptr().wrapping_add(channels.start),
                    residual: residual.map_or(core::ptr::null(), |raw| at(raw).cast_const()),
                    residual_stride: residual.map_or(0, |raw| raw.pixel_stride),
                    residual_zero: quantized.map_or(0, |q| q.zero_point - r.least),
                    residual_scale: quantized.map_or(0.0, |q| q.scale),
                    out: at(y),
                    out_stride: y.pixel_stride,
                    rows: pixels.len(),
                    len: channels.len(),
                    zero_point: output.zero_point,
                    min: output.min,
                    max: output.max,
                    flip: output.flip,
                };
                // SAFETY: the contract of `RequantiseI8`: rows are pixels that exist, and ratios are bounded.
                unsafe { self.kernels.requantise_i8[0].run(&args) }
            }
            (Rescale::Fixed(_), _) => {
                for (i, pixel) in pixels.enumerate() {
                    for c in channels.clone() {
                        // SAFETY: a sum, a channel of a pixel of each image.
                        unsafe {
                            let value = residual.map(|raw| i32::from(*raw.pixel(pixel).add(c) ^ output.flip) + r.least);
                            let byte = r.one(*sums.add(i * y.c + c), c, value);
                            *y.pixel(pixel).add(c) = byte as u8;
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// As `ConvF32::run_gemm`.
    unsafe fn run_gemm(
        &self,
        gemm: &Gemm,
        images: &Images<'_, u8>,
        pixels: Range<usize>,
        units: Range<usize>,
        memory: *mut u64,
    ) {
        let Images { geometry, placed, x, y, residual } = images;
        let rows = gemm.block_rows();
        let a: *mut u8 = memory.wrapping_add(self.sums_words(y.c, rows)).cast();
        let sums = if self.leaves_sums(residual.is_some()) { memory.cast::<i32>() } else { core::ptr::null_mut() };
        let gather =
            Gather { geometry, placed, x, kernels: self.kernels, zero: self.zero, flip: self.flip_in, k: gemm.k };
        let mut start = pixels.start;
        while start < pixels.end {
            let block = start..(start + rows).min(pixels.end);
            start = block.end;
            // SAFETY: room for the rows of all groups.
            let a = unsafe { gather.rows(&block, a) };
            for (y, units) in gemm.panels.in_blocks(y, &units) {
                let args = Block {
                    a,
                    m: block.len(),
                    c: y.pixel(block.start),
                    c_stride: y.pixel_stride,
                    sums,
                    sums_stride: if sums.is_null() { 0 } else { y.c },
                    output: self.requantizer.output(),
                };
                let columns = gemm.panels.columns(geometry.groups, &units);
                // SAFETY: rows of `k` bytes of all groups; the rest as the caller promised.
                unsafe {
                    gemm.run(&args, units);
                    if !sums.is_null() {
                        self.finish(sums, &y, residual.as_ref(), block.clone(), columns);
                    }
                }
            }
        }
    }

    /// # Safety
    /// As `Depthwise::run_rows`, for `rows`, in `memory` behind the sums; `fresh` is the first of them.
    unsafe fn run_depthwise(
        &self,
        depthwise: &Depthwise,
        images: &Images<'_, u8>,
        rows: Range<usize>,
        fresh: bool,
        memory: *mut u64,
    ) {
        let Images { placed, x, y, residual, .. } = images;
        let sums = if self.leaves_sums(residual.is_some()) { memory.cast::<i32>() } else { core::ptr::null_mut() };
        let tables = memory.wrapping_add(self.sums_words(y.c, placed.ow));
        let mut row = rows.start;
        while row < rows.end {
            let outputs = depthwise.outputs().min(rows.end - row).min(placed.oh - row % placed.oh);
            let pixels = row * placed.ow..(row + outputs) * placed.ow;
            let to = To {
                out: y.pixel(pixels.start),
                out_stride: y.pixel_stride,
                out_row_stride: y.pixel_stride * placed.ow,
                sums,
                sums_stride: y.c,
                output: self.requantizer.output(),
            };
            // SAFETY: as promised by the caller.
            unsafe {
                depthwise.run_rows(x, placed, row, outputs, fresh && row == rows.start, &to, tables);
                if !sums.is_null() {
                    self.finish(sums, y, residual.as_ref(), pixels, 0..y.c);
                }
            }
            row += outputs;
        }
    }
}

impl<T: Quantized> ConvPath<T> for ConvI8 {
    fn kernel_names(&self, pixels: usize) -> Vec<&'static str> {
        match &self.path {
            Path::Depthwise(depthwise) => alloc::vec![depthwise.kernel_name(pixels)],
            Path::Gemm(gemm) => gemm.kernel_names(gemm.block_rows().min(pixels)).collect(),
        }
    }

    fn scratch(&self, geometry: &ConvGeometry, placed: &Placed) -> Result<usize, Error> {
        let overflow = Error::Overflow { argument: "workspace" };
        let words = match &self.path {
            Path::Depthwise(depthwise) => {
                let sums = self.sums_words(geometry.cout, placed.ow);
                depthwise.words(placed).and_then(|words| words.checked_add(sums)).ok_or(overflow)?
            }
            Path::Gemm(gemm) => {
                let rows = gemm.block_rows();
                product("workspace", &[rows, geometry.groups, gemm.k])?;
                let a = Gather::len(geometry.groups, gemm.k, &self.kernels.int8, rows);
                self.sums_words(geometry.cout, rows).saturating_add(a.div_ceil(size_of::<u64>()))
            }
        };
        product("workspace", &[words, size_of::<u64>()])
    }

    fn pieces(&self, n: usize, placed: &Placed, threads: usize) -> Result<Pieces, Error> {
        let pixels = product("y", &[n, placed.oh, placed.ow])?;
        Ok(match &self.path {
            Path::Depthwise(_) => Pieces { count: n * placed.oh, columns: false },
            Path::Gemm(gemm) => gemm.panels.pieces(gemm.groups, pixels, threads),
        })
    }

    fn follow(&mut self, before: &mut Self) {
        if self.flip_in == 0 {
            return;
        }
        before.requantizer.change_sign();
        self.zero ^= self.flip_in;
        self.flip_in = 0;
        if let Path::Depthwise(depthwise) = &mut self.path {
            depthwise.read_unflipped(self.zero);
        }
    }

    fn output_unit(&self) -> Option<usize> {
        match &self.path {
            Path::Gemm(gemm) if gemm.groups == 1 => Some(gemm.panels.nr),
            _ => None,
        }
    }

    fn input_unit(&self) -> Option<usize> {
        match &self.path {
            Path::Depthwise(depthwise) => depthwise.channels_unit(),
            Path::Gemm(_) => None,
        }
    }

    unsafe fn run_rows(&self, images: &Images<'_, T>, rows: Range<usize>, fresh: bool, memory: *mut u64) {
        let (images, ow) = (&images.bytes(), images.placed.ow);
        match &self.path {
            // SAFETY: as promised by the caller.
            Path::Depthwise(depthwise) => unsafe { self.run_depthwise(depthwise, images, rows, fresh, memory) },
            Path::Gemm(gemm) => {
                let units = 0..gemm.panels.units(gemm.groups);
                // SAFETY: as promised by the caller.
                unsafe { self.run_gemm(gemm, images, rows.start * ow..rows.end * ow, units, memory) };
            }
        }
    }

    fn packed(&self) -> &Packed {
        match &self.path {
            Path::Depthwise(depthwise) => &depthwise.packed,
            Path::Gemm(gemm) => &gemm.packed,
        }
    }

    fn packed_mut(&mut self) -> &mut Packed {
        match &mut self.path {
            Path::Depthwise(depthwise) => &mut depthwise.packed,
            Path::Gemm(gemm) => &mut gemm.packed,
        }
    }

    fn check_residual(&self) -> Result<(), Error> {
        self.requantizer.residual.map(|_| ()).ok_or(Error::ResidualQuantization)
    }

    fn run(&self, images: &Images<'_, T>, pieces: Pieces, scratch: &mut Scratch<'_>, parallel: &dyn Parallel) {
        let Pieces { count, columns } = pieces;
        let images = &images.bytes();
        match &self.path {
            Path::Depthwise(depthwise) => run_parts(parallel, count, depthwise.outputs(), scratch, |rows, memory| {
                // SAFETY: shapes and overlap were checked, and each task has its rows and its memory.
                unsafe { self.run_depthwise(depthwise, images, rows, true, memory) }
            }),
            Path::Gemm(gemm) => {
                let pixels = images.y.pixels();
                run_parts(parallel, count, gemm.grain(columns), scratch, |part, memory| {
                    let all = 0..gemm.panels.units(gemm.groups);
                    let (pixels, units) = if columns { (0..pixels, part) } else { (part, all) };
                    // SAFETY: as above.
                    unsafe { self.run_gemm(gemm, images, pixels, units, memory) };
                });
            }
        }
    }
}

//! Convolution in f32: the geometry chooses the kernels.

use super::{
    Scratch, check_conv_weights,
    conv2d::{Conv2d, ConvPath, Images},
    depthwise_f32::Depthwise,
    elementwise::Finish,
    gemm_f32::{Block, Gemm},
    run_parts,
    taps::Taps,
};
use crate::{
    Activation, ConvGeometry, Error, Level, Parallel, Weights,
    error::product,
    geometry::Placed,
    kernels::Kernels,
    pack::Pieces,
    packed::{Packed, Packing},
    tensor::Raw,
};
use alloc::{boxed::Box, vec::Vec};
use core::ops::Range;

/// Packed weights in f32 and the kernels for them.
pub struct ConvF32 {
    kernels: &'static Kernels,
    geometry: ConvGeometry,
    activation: Activation,
    path: Path,
}

enum Path {
    Depthwise(Box<Depthwise>),
    /// The product, and zeros for taps outside the image.
    Gemm(Box<Gemm>, Packed),
}

/// Input channels below which the taps of a kernel row are taken as one run: with three channels a run for each tap
/// would be all overhead.
const FEW_CHANNELS: usize = 16;

/// How the rows of A lie in an image.
struct Layout {
    taps: usize,
    run: usize,
    /// A run is a row of the kernel, and those that touch the padding are copied.
    merged: bool,
    /// Pixels of a block.
    rows: usize,
    /// Values of copied runs in a block, at most.
    copied: usize,
}

impl Conv2d<f32> {
    /// Packs for the best level of this CPU.
    ///
    /// # Errors
    /// Sizes of zero or that overflow, groups that do not divide the channels, weights or bias of the wrong length, a
    /// layout that does not fit, a clamp the wrong way round; [`Error::Isa`].
    pub fn f32(
        geometry: &ConvGeometry,
        weights: Weights<'_>,
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Self, Error> {
        Self::f32_on(Level::selected()?, geometry, weights, bias, activation)
    }

    /// Packs for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Conv2d::f32`].
    pub fn f32_on(
        kernels: &'static Kernels,
        geometry: &ConvGeometry,
        weights: Weights<'_>,
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Self, Error> {
        check_conv_weights(geometry, weights, bias, activation)?;
        let g = *geometry;
        let mut conv = ConvF32::unpacked(kernels, g, activation)?;
        let kw = g.window.kernel[1];
        let bias = |o: usize| bias.map_or(0.0, |bias| bias[o]);
        match &mut conv.path {
            Path::Depthwise(depthwise) => depthwise.pack(|row, c| match row.checked_sub(1) {
                None => bias(c),
                Some(tap) => *weights.at(&g, c, 0, tap / kw, tap % kw),
            }),
            Path::Gemm(gemm, zeros) => {
                let (cin, n) = (g.group_cin(), g.group_cout());
                gemm.pack(|group, row, column| {
                    let o = group * n + column;
                    match row.checked_sub(1) {
                        None => bias(o),
                        Some(k) => *weights.at(&g, o, k % cin, k / cin / kw, k / cin % kw),
                    }
                });
                *zeros = Packing::f32(g.cin * kw).done();
            }
        }
        Ok(Conv2d::new(g, conv))
    }
}

impl ConvPath<f32> for ConvF32 {
    fn kernel_names(&self, pixels: usize) -> Vec<&'static str> {
        match &self.path {
            Path::Depthwise(depthwise) => alloc::vec![depthwise.kernel_name(pixels)],
            Path::Gemm(gemm, _) => gemm.kernel_names(gemm.block_rows().min(pixels)).collect(),
        }
    }

    fn scratch(&self, _: &ConvGeometry, placed: &Placed) -> Result<usize, Error> {
        let overflow = Error::Overflow { argument: "workspace" };
        match &self.path {
            Path::Depthwise(depthwise) => {
                product("workspace", &[depthwise.words(placed).ok_or(overflow)?, size_of::<u64>()])
            }
            Path::Gemm(gemm, _) => {
                let size = |merged| {
                    let layout = self.layout(gemm, placed, merged);
                    let pointers = product("workspace", &[layout.rows, layout.taps, size_of::<u64>()])?;
                    Ok(pointers + layout.copied.div_ceil(2) * size_of::<u64>())
                };
                // A view with a pixel stride of its own is read tap by tap. That is asked first: where it fits, so do copies,
                // which are of few channels a tap.
                Ok(size(false)?.max(size(self.may_merge())?))
            }
        }
    }

    fn pieces(&self, n: usize, placed: &Placed, threads: usize) -> Result<Pieces, Error> {
        let pixels = product("y", &[n, placed.oh, placed.ow])?;
        Ok(match &self.path {
            Path::Depthwise(_) => Pieces { count: n * placed.oh, columns: false },
            Path::Gemm(gemm, _) => gemm.panels.pieces(self.geometry.groups, pixels, threads),
        })
    }

    fn follow(&mut self, _: &mut Self) {}

    fn output_unit(&self) -> Option<usize> {
        match &self.path {
            Path::Gemm(gemm, _) if self.geometry.groups == 1 => Some(gemm.panels.nr),
            _ => None,
        }
    }

    fn input_unit(&self) -> Option<usize> {
        match &self.path {
            Path::Depthwise(depthwise) => Some(depthwise.channels_unit()),
            Path::Gemm(..) => None,
        }
    }

    unsafe fn run_rows(&self, images: &Images<'_, f32>, rows: Range<usize>, fresh: bool, memory: *mut u64) {
        let Images { placed, x, y, residual, .. } = images;
        let finish = Finish { kernels: self.kernels, activation: self.activation, residual: *residual };
        match &self.path {
            // SAFETY: as promised by the caller.
            Path::Depthwise(depthwise) => unsafe { depthwise.run(x, y, placed, rows, fresh, &finish, memory) },
            Path::Gemm(gemm, zeros) => {
                let layout = self.layout(gemm, placed, self.may_merge() && x.pixel_stride == x.c);
                let (pixels, units) =
                    (rows.start * placed.ow..rows.end * placed.ow, 0..gemm.panels.units(self.geometry.groups));
                // SAFETY: as promised by the caller.
                unsafe { self.run_gemm(gemm, zeros, &layout, x, y, placed, pixels, units, &finish, memory) };
            }
        }
    }

    fn packed(&self) -> &Packed {
        match &self.path {
            Path::Depthwise(depthwise) => &depthwise.packed,
            Path::Gemm(gemm, _) => &gemm.packed,
        }
    }

    fn packed_mut(&mut self) -> &mut Packed {
        match &mut self.path {
            Path::Depthwise(depthwise) => &mut depthwise.packed,
            Path::Gemm(gemm, _) => &mut gemm.packed,
        }
    }

    fn check_residual(&self) -> Result<(), Error> {
        Ok(())
    }

    fn run(&self, images: &Images<'_, f32>, pieces: Pieces, scratch: &mut Scratch<'_>, parallel: &dyn Parallel) {
        let Pieces { count, columns } = pieces;
        let Images { placed, x, y, residual, .. } = images;
        let finish = Finish { kernels: self.kernels, activation: self.activation, residual: *residual };
        match &self.path {
            Path::Depthwise(depthwise) => run_parts(parallel, count, depthwise.outputs(), scratch, |rows, memory| {
                // SAFETY: shapes and overlap were checked, and each task has its rows and its memory.
                unsafe { depthwise.run(x, y, placed, rows, true, &finish, memory) }
            }),
            Path::Gemm(gemm, zeros) => {
                let layout = self.layout(gemm, placed, self.may_merge() && x.pixel_stride == x.c);
                let (panels, groups) = (&gemm.panels, self.geometry.groups);
                run_parts(parallel, count, gemm.grain(columns), scratch, |part, memory| {
                    let (pixels, units) = if columns { (0..y.pixels(), part) } else { (part, 0..panels.units(groups)) };
                    // SAFETY: as above.
                    unsafe { self.run_gemm(gemm, zeros, &layout, x, y, placed, pixels, units, &finish, memory) };
                });
            }
        }
    }
}

impl ConvF32 {
    /// Without weights, of a geometry that was checked.
    pub(super) fn unpacked(kernels: &'static Kernels, g: ConvGeometry, activation: Activation) -> Result<Self, Error> {
        let path = if g.is_depthwise() {
            Path::Depthwise(Box::new(Depthwise::unpacked(kernels, g)?))
        } else {
            let gemm = Gemm::unpacked(kernels, g.groups, g.group_cout(), g.taps() * g.group_cin())?;
            Path::Gemm(Box::new(gemm), Packed::default())
        };
        Ok(ConvF32 { kernels, geometry: g, activation, path })
    }

    /// Packed bytes.
    #[cfg(test)]
    pub(super) fn packed_len(&self) -> usize {
        let values = match &self.path {
            Path::Depthwise(depthwise) => depthwise.packed_len(),
            Path::Gemm(gemm, _) => gemm.packed_len(),
        };
        values * size_of::<f32>()
    }

    fn may_merge(&self) -> bool {
        let g = &self.geometry;
        g.groups == 1 && g.window.kernel[1] > 1 && g.window.dilation[1] == 1 && g.cin < FEW_CHANNELS
    }

    fn layout(&self, gemm: &Gemm, placed: &Placed, merged: bool) -> Layout {
        let g = &self.geometry;
        let [kh, kw] = g.window.kernel;
        let rows = gemm.block_rows();
        if !merged {
            return Layout { taps: kh * kw, run: g.group_cin(), merged, rows, copied: 0 };
        }
        // Outputs of a row whose window leaves the image to the left or to the right.
        let edges = placed.ow - placed.inside(g.window.stride[1], 0, kw - 1).len();
        let copies = (edges * (rows / placed.ow + 2)).min(rows);
        Layout { taps: kh, run: kw * g.cin, merged, rows, copied: copies * kh * kw * g.cin }
    }

    /// Block by block: pointers to the rows of A, the product, what is left to do.
    ///
    /// # Safety
    /// The images are those that `placed` was made for, apart from one another; nobody else touches these columns of
    /// these pixels of `y`; `memory` has the room that `layout` asks for.
    #[allow(clippy::too_many_arguments)]
    unsafe fn run_gemm(
        &self,
        gemm: &Gemm,
        zeros: &Packed,
        layout: &Layout,
        x: &Raw<f32>,
        y: &Raw<f32>,
        placed: &Placed,
        pixels: Range<usize>,
        units: Range<usize>,
        finish: &Finish,
        memory: *mut u64,
    ) {
        let (min, max) = finish.kernel_bounds();
        let rows: *mut *const f32 = memory.cast();
        let copies: *mut f32 = memory.wrapping_add(layout.rows * layout.taps).cast();
        let zeros = zeros.as_ptr();
        let taps = Taps { geometry: &self.geometry, placed, x, zeros, merged: layout.merged, pitch: layout.taps };
        let mut start = pixels.start;
        while start < pixels.end {
            let block = start..(start + layout.rows).min(pixels.end);
            // SAFETY: room for the block's pointers and copies.
            unsafe { self.fill(&taps, &block, rows, copies) };
            for (y, units) in gemm.panels.in_blocks(y, &units) {
                let args = Block {
                    rows,
                    m: block.len(),
                    taps: layout.taps,
                    run: layout.run,
                    c: y.pixel(block.start),
                    c_stride: y.pixel_stride,
                    min,
                    max,
                };
                let columns = gemm.panels.columns(self.geometry.groups, &units);
                // SAFETY: the pointers lead to `taps` runs of the channels of all groups; the rest as the caller promised.
                unsafe {
                    gemm.run(&args, units);
                    finish.run(&y, block.clone(), columns);
                }
            }
            start = block.end;
        }
    }

    /// The table of a block.
    ///
    /// # Safety
    /// `rows` has room for the block's pointers, `copies` for the runs at the edges.
    unsafe fn fill(&self, taps: &Taps<'_, f32>, block: &Range<usize>, rows: *mut *const f32, mut copies: *mut f32) {
        let (placed, per_pixel) = (taps.placed, taps.per_pixel());
        if self.geometry.is_pixelwise(placed) {
            for (i, pixel) in block.clone().enumerate() {
                // SAFETY: an entry for each pixel.
                unsafe { *rows.add(i) = taps.x.pixel(pixel) };
            }
            return;
        }
        let mut pixel = block.start;
        while pixel < block.end {
            let (row, ox) = (pixel / placed.ow, pixel % placed.ow);
            let end = (ox + block.end - pixel).min(placed.ow);
            let to = rows.wrapping_add((pixel - block.start) * per_pixel);
            // SAFETY: as promised by the caller, for the part of the block in this row.
            unsafe { taps.fill([row / placed.oh, row % placed.oh], ox..end, to, &mut copies) };
            pixel += end - ox;
        }
    }
}

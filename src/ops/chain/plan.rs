//! Strips: what lies where, and in which order it is computed.

use super::{cost, parts};
use crate::{
    Conv2d, Element, Error, Parallel,
    error::product,
    geometry::Placed,
    ops::{ConvPath, Scratch, conv2d::Images},
    pack::Pieces,
    tensor::{Blocks, Raw},
};
use core::ops::Range;

/// The most convolutions of a chain.
pub(super) const MOST: usize = 8;
/// Bytes to which what lies in the workspace is aligned.
const ALIGN: usize = 64;
/// Bytes between pixels that fall into few sets of the L1 cache.
const ALIASING: usize = 2048;

/// One convolution in the memory of a task: what it works in, then its output, unless that is the chain's.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    pub placed: Placed,
    /// Into which it is cut.
    pieces: Pieces,
    /// Its tasks, bytes of scratch of each, and where in the memory they begin.
    tasks: usize,
    scratch_bytes: usize,
    scratch: usize,
    /// Where its output begins.
    at: usize,
    shape: [usize; 4],
    pixel_stride: usize,
    slots: usize,
    /// Blocks of channels: how many, channels, elements from one to the next.
    blocks: [usize; 3],
}

/// The memory of a task.
pub(super) struct Plan {
    stages: [Stage; MOST],
    count: usize,
    /// Rows of output of a strip.
    strip: usize,
    /// Bytes of a task.
    pub bytes: usize,
    pub parts: usize,
}

/// Where the windows of the convolutions lie; the last is repeated.
pub(super) fn place<T: Element>(convs: &[Conv2d<T>], [n, h, w]: [usize; 3]) -> Result<[Placed; MOST], Error> {
    let mut placed = [convs[0].geometry().window.on(h, w)?; MOST];
    for (i, conv) in convs.iter().enumerate() {
        let (h, w) = if i == 0 { (h, w) } else { (placed[i - 1].oh, placed[i - 1].ow) };
        placed[i..].fill(conv.geometry().window.on(h, w)?);
        product("y", &[n, placed[i].oh, placed[i].ow, conv.geometry().cout, size_of::<T>()])?;
    }
    Ok(placed)
}

impl Stage {
    /// The output in the memory of a task.
    fn image<T>(&self, memory: *mut u8) -> Raw<T> {
        let ptr: *mut T = memory.wrapping_add(self.at).cast();
        let [count, channels, stride] = self.blocks;
        // Behind the rows of each block.
        let outside = ptr.wrapping_add(self.slots.wrapping_mul(self.shape[2]).wrapping_mul(self.pixel_stride));
        let outside = if count > 1 { outside } else { core::ptr::null_mut() };
        let blocks = Blocks { count, channels, stride, outside };
        Raw { slots: self.slots, blocks, ..Raw::plain(ptr, self.shape, self.pixel_stride) }
    }

    /// The rows of the input that the output row `row` sees, both counted over the batch.
    fn input(&self, row: usize, stride: usize) -> Range<usize> {
        let Placed { h, oh, padding: [top, ..], window: [height, _], .. } = self.placed;
        let (first, n) = (row % oh * stride, row / oh);
        let inside = |row: usize| n * h + row.saturating_sub(top).min(h);
        inside(first)..inside(first + height)
    }
}

impl Plan {
    pub fn new<T: Element>(
        convs: &[Conv2d<T>],
        image: [usize; 3],
        strip: Option<usize>,
        threads: usize,
    ) -> Result<Self, Error> {
        let (n, count) = (image[0], convs.len());
        let placed = place(convs, image)?;
        let last = placed[count - 1];
        let rows = match strip {
            Some(strip) => rows(convs, &placed, strip),
            None => placed.map(|placed| n * placed.oh),
        };
        let unused = Stage {
            placed: last,
            pieces: Pieces { count: 0, columns: false },
            tasks: 0,
            scratch_bytes: 0,
            scratch: 0,
            at: 0,
            shape: [1; 4],
            pixel_stride: 1,
            slots: usize::MAX,
            blocks: [1, 1, 0],
        };
        let mut stages = [unused; MOST];
        // Bytes of the scratch and of the output of each.
        let mut lens = [[0usize; 2]; MOST];
        for (i, conv) in convs.iter().enumerate() {
            let (placed, c) = (placed[i], conv.geometry().cout);
            let shape = [n, placed.oh, placed.ow, c];
            // In strips a task runs them all; one after the other, each has tasks of its own.
            let pieces = conv.path.pieces(n, &placed, threads)?;
            let tasks = if strip.is_some() { 1 } else { parts(threads, pieces.count) };
            let scratch_bytes = conv.path.scratch(conv.geometry(), &placed)?;
            lens[i][0] = product("workspace", &[scratch_bytes, tasks])?;
            let stage = Stage { placed, pieces, tasks, scratch_bytes, shape, ..unused };
            stages[i] = stage;
            if let Some(next) = convs.get(i + 1) {
                let [count, channels, width] = blocks(conv, next, &placed, strip.is_some());
                let pixel_stride = pitch::<T>(width, count);
                let pixels = product("workspace", &[rows[i], placed.ow])? + usize::from(count > 1);
                lens[i][1] = product("workspace", &[pixels, pixel_stride, size_of::<T>(), count])?;
                let blocks = [count, channels, pixels * pixel_stride];
                stages[i] = Stage { pixel_stride, slots: rows[i], blocks, ..stage };
            }
        }
        let mut bytes = 0usize;
        let mut take = |more: usize| {
            let at = bytes;
            bytes = product("workspace", &[more.div_ceil(ALIGN), ALIGN])?.saturating_add(at);
            product("workspace", &[bytes])?;
            Ok(at)
        };
        if strip.is_some() {
            for (stage, [scratch, output]) in stages.iter_mut().zip(lens) {
                (stage.scratch, stage.at) = (take(scratch)?, take(output)?);
            }
        } else {
            // Over what is no longer needed, which the caches still hold: the scratch of the convolution before, and the
            // output of the one before that.
            let most =
                |of: usize, first: usize, step: usize| lens.iter().skip(first).step_by(step).map(|len| len[of]).max();
            let mut place = |of, first, step| take(most(of, first, step).unwrap_or(0));
            let (scratch, outputs) = (place(0, 0, 1)?, [place(1, 0, 2)?, place(1, 1, 2)?]);
            for (i, stage) in stages.iter_mut().enumerate() {
                (stage.scratch, stage.at) = (scratch, outputs[i % 2]);
            }
        }
        let (strip, parts) = strip.map_or((0, 1), |strip| (strip, parts(threads, n * last.oh)));
        Ok(Plan { stages, count, strip, bytes: bytes + ALIGN, parts })
    }

    pub fn stages(&self) -> &[Stage] {
        &self.stages[..self.count]
    }
}

/// Rows of each output that are there at a time.
pub(super) fn rows<T: Element>(convs: &[Conv2d<T>], placed: &[Placed], strip: usize) -> [usize; MOST] {
    let mut rows = [strip; MOST];
    for i in (1..convs.len()).rev() {
        // Rows that a stride beyond the window skips are computed, too.
        let stride = convs[i].geometry().window.stride[0];
        let seen = (rows[i] - 1).saturating_mul(stride).saturating_add(placed[i].window[0].max(stride));
        rows[i - 1] = seen.min(placed[i].h);
    }
    rows
}

/// The first byte of a workspace, or a task's part of it, that is aligned; [`Plan::bytes`] leaves room for that.
fn aligned(memory: *mut u64) -> *mut u8 {
    memory.cast::<u8>().wrapping_add(memory.addr().next_multiple_of(ALIGN) - memory.addr())
}

/// Blocks of channels of what lies between two convolutions: how many, channels, the most channels. More than one where
/// one writes blocks as easily as anything, and the other reads them with fewer cache misses.
fn blocks<T: Element>(conv: &Conv2d<T>, next: &Conv2d<T>, placed: &Placed, strips: bool) -> [usize; 3] {
    let c = conv.geometry().cout;
    let units = conv.path.output_unit().zip(next.path.input_unit());
    let fits = |&(panel, unit): &(usize, usize)| panel.is_multiple_of(unit) || unit.is_multiple_of(panel);
    let Some((panel, unit)) = units.filter(fits).filter(|_| strips) else { return [1, c, c] };
    let least = panel.max(unit);
    let channels = cost::block_channels::<T>(next.geometry(), placed.ow, least);
    // The last block has at least what either takes together, and what is left behind: a panel or a register that
    // overlaps the one before it is within the block.
    let count = (c / least * least).div_ceil(channels).max(1);
    let rest = c - (count - 1) * channels;
    [count, channels, if count == 1 { rest } else { rest.max(channels) }]
}

/// Elements from a pixel of `channels` to the next. Whole lines for blocks, and nothing that aliases.
fn pitch<T>(channels: usize, blocks: usize) -> usize {
    let line = ALIGN / size_of::<T>();
    let pitch = if blocks > 1 { channels.next_multiple_of(line) } else { channels };
    if (pitch * size_of::<T>()).is_multiple_of(ALIASING) { pitch + line } else { pitch }
}

/// A chain on images.
pub(super) struct Run<'a, T: Element> {
    pub convs: &'a [Conv2d<T>],
    pub plan: &'a Plan,
    pub x: Raw<T>,
    pub residual: Option<Raw<T>>,
    pub y: Raw<T>,
}

/// A task: the rows that are its part.
struct Task<'a, T: Element> {
    run: &'a Run<'a, T>,
    memory: *mut u8,
    /// The first row of each output that is computed in this part.
    first: [usize; MOST],
}

impl<T: Element> Run<'_, T> {
    /// One convolution after the other.
    pub fn one_by_one(&self, scratch: &mut Scratch<'_>, parallel: &dyn Parallel) {
        let (memory, stages) = (aligned(scratch.memory()), self.plan.stages());
        for (i, (conv, stage)) in self.convs.iter().zip(stages).enumerate() {
            let (geometry, placed) = (conv.geometry(), stage.placed);
            let last = i + 1 == stages.len();
            let x = if i == 0 { self.x } else { stages[i - 1].image(memory) };
            let y = if last { self.y } else { stage.image(memory) };
            let images = Images { geometry, placed, x, residual: self.residual.filter(|_| last), y };
            let mut scratch = scratch.part(memory.wrapping_add(stage.scratch).cast(), stage.scratch_bytes, stage.tasks);
            conv.path.run(&images, stage.pieces, &mut scratch, parallel);
        }
    }

    /// Computes the rows `part` of the output, counted over the batch.
    ///
    /// # Safety
    /// The images fit the plan, and `y` is apart from the others; nobody else touches these rows of it; `memory` has the
    /// plan's bytes, which nobody else touches.
    pub unsafe fn strips(&self, part: Range<usize>, memory: *mut u64) {
        let stages = self.plan.stages();
        let last = stages.len() - 1;
        let mut first = [part.start; MOST];
        for i in (1..=last).rev() {
            first[i - 1] = stages[i].input(first[i], self.stride(i)).start;
        }
        let task = Task { run: self, memory: aligned(memory), first };
        let height = stages[last].placed.oh;
        let mut start = part.start;
        while start < part.end {
            // Strips of one image, as even as can be.
            let rest = (start / height + 1).saturating_mul(height).min(part.end) - start;
            let end = start + rest.div_ceil(rest.div_ceil(self.plan.strip));
            // SAFETY: as promised by the caller.
            unsafe { task.rows(last, start..end, &self.y) };
            start = end;
        }
    }

    fn stride(&self, i: usize) -> usize {
        self.convs[i].geometry().window.stride[0]
    }
}

impl<T: Element> Task<'_, T> {
    /// Computes the rows `rows` of the output `y` of convolution `i`: of one image, and those after the rows computed
    /// before. First computes what of its input is not there.
    ///
    /// # Safety
    /// As [`Run::strips`]; `y` is the output of the chain, or lies in the memory.
    unsafe fn rows(&self, i: usize, rows: Range<usize>, y: &Raw<T>) {
        if rows.is_empty() {
            return;
        }
        let (run, stages) = (self.run, self.run.plan.stages());
        let (conv, stage) = (&run.convs[i], &stages[i]);
        let mut x = run.x;
        if i > 0 {
            x = stages[i - 1].image(self.memory);
            if conv.geometry().is_pixelwise(&stage.placed) {
                // It keeps no row, and may read its pixels as if they all adjoined.
                x = x.starting_at(rows.start);
            }
            let seen = |row: usize| stage.input(row, run.stride(i));
            let begins = rows.start == self.first[i] || rows.start.is_multiple_of(stage.placed.oh);
            let start = if begins { seen(rows.start).start } else { seen(rows.start - 1).end };
            // SAFETY: as promised by the caller.
            unsafe { self.rows(i - 1, start..seen(rows.end - 1).end, &x) };
        }
        let residual = run.residual.filter(|_| i + 1 == stages.len());
        let mut start = rows.start;
        while start < rows.end {
            // The rows up to the end of the ring.
            let end = rows.end.min((start / y.slots + 1) * y.slots);
            let images = Images { geometry: conv.geometry(), placed: stage.placed, x, residual, y: y.at_row(start) };
            let memory = self.memory.wrapping_add(stage.scratch).cast();
            // SAFETY: as promised by the caller; the rows that these see are in the ring, which has room for them all.
            unsafe { conv.path.run_rows(&images, start..end, start == self.first[i], memory) };
            start = end;
        }
    }
}

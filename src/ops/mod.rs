//! The operators: they check, pack, choose kernels and cut the work into tasks.

mod check;
mod conv2d;
mod conv_f32;
mod conv_i8;
mod depthwise_f32;
mod depthwise_i8;
mod elementwise;
mod fully_connected;
mod gather;
mod gemm_f32;
mod gemm_i8;
mod lookup;
mod pool;
mod ring;
mod shuffle;
mod taps;

pub(crate) use check::*;
pub use conv_f32::ConvF32;
pub use conv_i8::ConvI8;
pub use conv2d::{Conv2d, ConvPath};
pub use elementwise::Add;
pub use fully_connected::FullyConnected;
pub use lookup::{Concat, Lookup};
pub use pool::{Pool2d, PoolF32, PoolI8};
pub use shuffle::{ChannelShuffle, nchw_to_nhwc, nhwc_to_nchw};

use crate::{Error, Parallel, Workspace};
use core::ops::Range;

/// Part `i` of `0..all` cut evenly into `parts`.
pub(crate) fn part(all: usize, parts: usize, i: usize) -> Range<usize> {
    let (each, more) = (all / parts, all % parts);
    let start = i * each + i.min(more);
    start..start + each + usize::from(i < more)
}

/// Cuts `units` into a part for each thread and runs `task(part, its scratch)`.
pub(crate) fn run_parts(
    parallel: &dyn Parallel,
    units: usize,
    scratch: &mut Scratch<'_>,
    task: impl Fn(Range<usize>, *mut u64) + Sync,
) {
    let parts = parts(parallel.threads(), units);
    let memory = Shared(scratch.workspace.as_mut_ptr());
    let words = scratch.bytes / size_of::<u64>();
    let memory = &memory;
    let run = |i: usize| task(part(units, parts, i), memory.0.wrapping_add(i * words));
    if parts == 1 { run(0) } else { parallel.run(parts, &run) }
}

/// Parts for `units` of work on `threads`.
pub(crate) fn parts(threads: usize, units: usize) -> usize {
    threads.clamp(1, units.max(1))
}

/// What each task has for itself: `bytes` of the workspace.
pub struct Scratch<'a> {
    workspace: &'a mut Workspace,
    bytes: usize,
}

impl<'a> Scratch<'a> {
    /// `bytes`, a multiple of 8, for each of `parts`.
    pub fn new(workspace: &'a mut Workspace, bytes: usize, parts: usize) -> Result<Self, Error> {
        let expected = crate::error::product("workspace", &[bytes, parts])?;
        if workspace.len() < expected {
            return Err(Error::Workspace { expected, got: workspace.len() });
        }
        Ok(Scratch { workspace, bytes })
    }
}

struct Shared(*mut u64);
// SAFETY: each task steps to a part of its own.
unsafe impl Sync for Shared {}

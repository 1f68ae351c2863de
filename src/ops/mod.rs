//! The operators: they check, pack, choose kernels and cut the work into tasks.

mod bytes;
mod chain;
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
mod quantise;
mod ring;
mod shuffle;
#[cfg(all(test, feature = "operators"))]
mod sizes;
mod squeeze_excite;
mod taps;

pub use chain::{Chain, Fusion};
pub(crate) use check::*;
pub use conv_f32::ConvF32;
pub use conv_i8::ConvI8;
pub use conv2d::{Conv2d, ConvPath};
pub use elementwise::{Activate, Add};
pub use fully_connected::FullyConnected;
pub use lookup::{Concat, Lookup};
pub use pool::{Pool2d, PoolF32, PoolI8};
pub use quantise::quantise;
pub use shuffle::{ChannelShuffle, copy, nchw_to_nhwc, nhwc_to_nchw};
pub use squeeze_excite::{
    ExciteF32, ExciteI8, ExcitePath, SqueezeExcite, SqueezeExciteQuantization, SqueezeExciteWeights,
};

use crate::{Error, Parallel, Workspace};
use core::{
    marker::PhantomData,
    ops::Range,
    sync::atomic::{AtomicU16, AtomicUsize, Ordering},
};

/// Part `i` of `0..all` cut evenly into `parts`.
pub(crate) fn part(all: usize, parts: usize, i: usize) -> Range<usize> {
    let (each, more) = (all / parts, all % parts);
    let start = i * each + i.min(more);
    start..start + each + usize::from(i < more)
}

/// More parts than this are not made: each has a bit and a count in `run_parts`.
const MAX_PARTS: usize = 1024;
/// Chunks of a part: a half, a quarter, an eighth, and the rest.
const CHUNKS: usize = 4;

/// Chunk `i` of `0..len`; all but the last are whole grains.
fn chunk(len: usize, grain: usize, i: usize) -> Range<usize> {
    let edge = |i: usize| if i < CHUNKS { (len - (len >> i)) / grain * grain } else { len };
    edge(i)..edge(i + 1)
}

/// Cuts `units` into a part for each thread, as far as the scratch has room, and runs `task(some of the units, scratch)`
/// for all of them. A thread takes chunks of its own part, so that it finds in its cache what it left there, then those
/// that others have not begun: so it does not wait for one that the system has not woken yet, or has put off. A chunk
/// but the last is whole grains, of as many units as make up for beginning anew.
/// No task runs twice, nor any unit, whatever `parallel` does: anyone may implement it, in safe code.
pub(crate) fn run_parts(
    parallel: &dyn Parallel,
    units: usize,
    grain: usize,
    scratch: &mut Scratch<'_>,
    task: impl Fn(Range<usize>, *mut u64) + Sync,
) {
    let parts = parts(parallel.threads(), units).min(scratch.parts);
    let memory = Shared(scratch.memory);
    if parts == 1 {
        return task(0..units, memory.0);
    }
    let words = scratch.bytes / size_of::<u64>();
    let memory = &memory;
    const BITS: usize = usize::BITS as usize;
    let begun = [const { AtomicUsize::new(0) }; MAX_PARTS / BITS];
    // Each task counts in vain at most once in each part, so that no count passes `CHUNKS + MAX_PARTS`.
    let taken = [const { AtomicU16::new(0) }; MAX_PARTS];
    let run = |i: usize| {
        let memory = memory.0.wrapping_add(i * words);
        for owner in (i..parts).chain(0..i) {
            let part = part(units, parts, owner);
            // Read first: most parts are done when others look, and a write would take the line from whoever shares it.
            while usize::from(taken[owner].load(Ordering::Relaxed)) < CHUNKS {
                let next = usize::from(taken[owner].fetch_add(1, Ordering::Relaxed));
                if next >= CHUNKS {
                    break;
                }
                let Range { start, end } = chunk(part.len(), grain, next);
                if start < end {
                    task(part.start + start..part.start + end, memory);
                }
            }
        }
    };
    parallel.run(parts, &|i: usize| {
        let bit = 1 << (i % BITS);
        if i < parts && begun[i / BITS].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            run(i);
        }
    });
}

/// Parts for `units` of work on `threads`.
pub(crate) fn parts(threads: usize, units: usize) -> usize {
    threads.clamp(1, units.clamp(1, MAX_PARTS))
}

/// What each task has for itself: `bytes` of the memory.
pub struct Scratch<'a> {
    memory: *mut u64,
    bytes: usize,
    /// Tasks for which there is room.
    parts: usize,
    life: PhantomData<&'a mut [u64]>,
}

impl<'a> Scratch<'a> {
    /// `bytes`, a multiple of 8, for each of `parts`.
    pub fn new(workspace: &'a mut Workspace, bytes: usize, parts: usize) -> Result<Self, Error> {
        Self::of(workspace.memory(), bytes, parts)
    }

    /// The same of what an operator that has others inside left of its workspace.
    pub fn of(memory: &'a mut [u64], bytes: usize, parts: usize) -> Result<Self, Error> {
        let (expected, got) = (crate::error::product("workspace", &[bytes, parts])?, size_of_val(memory));
        if got < expected {
            return Err(Error::Workspace { expected, got });
        }
        let parts = got.checked_div(bytes).unwrap_or(usize::MAX);
        Ok(Scratch { memory: memory.as_mut_ptr(), bytes, parts, life: PhantomData })
    }

    /// Where it begins.
    pub(crate) fn memory(&self) -> *mut u64 {
        self.memory
    }

    /// Of what lies at `memory`, within this, `bytes` for each of `parts` tasks.
    pub(crate) fn part(&mut self, memory: *mut u64, bytes: usize, parts: usize) -> Scratch<'_> {
        Scratch { memory, bytes, parts, life: PhantomData }
    }
}

struct Shared(*mut u64);
// SAFETY: each task steps to a part of its own, for which `run_parts` sees to it that there is room.
unsafe impl Sync for Shared {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn chunks_adjoin() {
        for (len, grain) in (0..200).flat_map(|len| [1, 2, 12, 28, 200].map(|grain| (len, grain))) {
            let chunks: Vec<_> = (0..CHUNKS).map(|i| chunk(len, grain, i)).collect();
            let adjoin = chunks.windows(2).all(|two| two[0].end == two[1].start);
            assert!(adjoin && chunks[0].start == 0 && chunks[CHUNKS - 1].end == len, "{len} {grain}: {chunks:?}");
            assert!(chunks.iter().all(|chunk| chunk.end == len || chunk.end % grain == 0), "{len} {grain}: {chunks:?}");
        }
    }
}

//! A run of a network allocates nothing.

use anyhow::Result;
use kolibri::{Level, Serial};
use kolibri_zoo::{
    model::{Model, directory},
    network::Network,
    quantized::{QuantizedModel, QuantizedNetwork},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator, and a counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The only test here, so that no other thread allocates meanwhile.
#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn a_run_allocates_nothing() -> Result<()> {
    for name in Model::known(&directory("models"))? {
        let model = Model::load(&directory("models"), &name)?;
        let path = QuantizedModel::path(&directory("models"), &name);
        let quantized = QuantizedModel::load(&directory("models"), &path, &name)?;
        for level in Level::available() {
            let kernels = level.kernels().expect("available");
            let mut network = Network::new(&model, kernels, 1)?;
            let mut in_bytes = QuantizedNetwork::new(&quantized, kernels, 1)?;
            let input = vec![0.5; network.input_len()];
            let bytes = vec![0x80; network.input_len()];
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            network.run(&input, &Serial)?;
            let between = ALLOCATIONS.load(Ordering::Relaxed);
            in_bytes.run(&bytes, &Serial)?;
            let allocations = [between - before, ALLOCATIONS.load(Ordering::Relaxed) - between];
            assert_eq!(allocations, [0, 0], "{name} {}: f32, bytes", level.name());
        }
    }
    Ok(())
}

//! What the benches measure against.

use kolibri::kernels::{Kernel, Probe};
use std::{hint::black_box, time::Instant};

/// The least time of a probe of `turns`; `data` has more than a register of any level.
pub fn probe(kernel: &Kernel<Probe>, data: &[f32], turns: usize) -> f64 {
    assert!(data.len() >= 64);
    let mut out = [0.0f32; 64];
    let args = Probe { data: data.as_ptr(), len: data.len(), turns, out: out.as_mut_ptr() };
    let time = || {
        let start = Instant::now();
        // SAFETY: `data` has `len` values and more than a register, `out` a register of any level.
        unsafe { kernel.run(black_box(&args)) };
        start.elapsed().as_secs_f64()
    };
    (0..50).map(|_| time()).fold(f64::INFINITY, f64::min)
}

/// Operations a second of a probe in registers that does so many in a turn.
pub fn peak(kernel: &Kernel<Probe>, operations: usize) -> f64 {
    (20_000 * operations) as f64 / probe(kernel, &[0.25; 4096], 20_000)
}

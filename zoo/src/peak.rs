//! What the machine can do, measured in the run that is compared with it.

use crate::timing::Times;
use anyhow::Result;
use kolibri::{
    Parallel,
    kernels::{Kernel, Kernels, Probe},
};
use std::{hint::black_box, time::Duration};

/// More than a register of any level.
const REGISTER: usize = 64;
/// Time for a measurement; the minimum of some dozen probes was the same within a percent from 10 ms on.
const BUDGET: Duration = Duration::from_millis(20);

/// Floating-point operations a second of multiply-adds in registers, on all threads at once.
///
/// # Errors
/// None of its own.
pub fn fma(kernels: &'static Kernels, parallel: &dyn Parallel) -> Result<f64> {
    in_registers(&kernels.probe_fma_f32[0], kernels.probe_fma_flops, parallel)
}

/// Operations a second of products of bytes in registers, on all threads at once.
///
/// # Errors
/// None of its own.
pub fn dot(kernels: &'static Kernels, parallel: &dyn Parallel) -> Result<f64> {
    in_registers(&kernels.probe_dot_i8[0], kernels.probe_dot_ops, parallel)
}

fn in_registers(kernel: &Kernel<Probe>, operations: usize, parallel: &dyn Parallel) -> Result<f64> {
    let turns = 20_000;
    let data = [0.5f32; REGISTER];
    let task = |_| probe(kernel, &data, 0, turns);
    let times = Times::measure(BUDGET, usize::MAX, || {
        parallel.run(parallel.threads(), &task);
        Ok(())
    })?;
    Ok((turns * operations * parallel.threads()) as f64 / times.min())
}

/// Bytes a second that the threads read together, each its part of a buffer of `len` values, again and again.
///
/// # Errors
/// None of its own.
pub fn read(kernels: &'static Kernels, len: usize, parallel: &dyn Parallel) -> Result<f64> {
    let part = len.div_ceil(parallel.threads()).max(REGISTER);
    let data = vec![0.5f32; part * parallel.threads()];
    // So often that the start costs nothing.
    let turns = (1usize << 18).div_ceil(part);
    let task = |i: usize| probe(&kernels.probe_read_f32[0], &data[i * part..][..part], part, turns);
    let times = Times::measure(BUDGET, usize::MAX, || {
        parallel.run(parallel.threads(), &task);
        Ok(())
    })?;
    Ok((size_of_val(&data[..]) * turns) as f64 / times.min())
}

fn probe(kernel: &Kernel<Probe>, data: &[f32], len: usize, turns: usize) {
    assert!(data.len() >= len.max(REGISTER), "data is shorter than a register");
    let mut out = [0.0f32; REGISTER];
    let args = Probe { data: data.as_ptr(), len, turns, out: out.as_mut_ptr() };
    // SAFETY: `data` has `len` values and more than a register of them, `out` more than a register.
    unsafe { kernel.run(&args) };
    black_box(out);
}

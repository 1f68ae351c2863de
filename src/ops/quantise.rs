//! Real numbers to bytes.

use super::{Scratch, check_length, run_parts};
use crate::{
    Error, Parallel, QuantParams, Quantized, Workspace,
    kernels::{Kernels, QuantiseI8},
    quant::Output,
};

/// Values of a task, or a multiple of them.
const PIECE: usize = 4096;

/// `y[i] = params.quantise(x[i])`, see [`QuantParams::quantise`]: how an image comes to a network in bytes.
///
/// ```
/// use kolibri::{Level, QuantParams, Serial, quantise};
///
/// # fn main() -> Result<(), kolibri::Error> {
/// let (x, mut y) = ([-1.0, 0.0, 0.25, f32::NAN], [0u8; 4]);
/// quantise(Level::selected()?, &x, QuantParams::new(0.5, 2), &mut y, &Serial)?;
/// assert_eq!(y, [0, 2, 2, 2]); // half a step goes to the even byte
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Slices of different lengths, a scale that is not positive and finite, a zero point out of range. Nothing is written
/// then.
pub fn quantise<T: Quantized>(
    kernels: &'static Kernels,
    x: &[f32],
    params: QuantParams,
    y: &mut [T],
    parallel: &dyn Parallel,
) -> Result<(), Error> {
    params.validate::<T>("params")?;
    check_length("x", y.len(), x.len())?;
    let Output { zero_point, min, max, flip } = Output::new(T::MIN, params.zero_point, T::MIN, T::MAX);
    let (len, y) = (x.len(), To(y.as_mut_ptr().cast()));
    let (mut nothing, y) = (Workspace::default(), &y);
    run_parts(parallel, len.div_ceil(PIECE), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pieces, _| {
        let values = pieces.start * PIECE..len.min(pieces.end * PIECE);
        let args = QuantiseI8 {
            x: x[values.clone()].as_ptr(),
            x_stride: 0,
            out: y.0.wrapping_add(values.start),
            out_stride: 0,
            rows: 1,
            len: values.len(),
            scale: params.scale,
            zero_point,
            min,
            max,
            flip,
        };
        // SAFETY: the contract of `QuantiseI8`: values of `x`, and as many of `y`, that no other task has.
        unsafe { kernels.quantise_i8[0].run(&args) }
    });
    Ok(())
}

struct To(*mut u8);
// SAFETY: each task writes values of its own.
unsafe impl Sync for To {}

//! Cases for the kernels: arguments by the contract, and a scalar model to compare with.

use super::{
    CANARY, Rng, compare, kernel_i8_cases,
    mem::{Mem, Place},
    sigmoid_slack, slack,
};
use kolibri::{
    kernels::{
        DW_ROWS, DwConvF32, ElementwiseF32, Function, GemmF32, INTERLEAVED, Interleave, Kernel, Kernels, PoolF32,
        Probe, TransposeX32,
    },
    reference,
};
use std::fmt::Debug;

fn clamp(x: f32, min: f32, max: f32) -> f32 {
    let x = if x < min { min } else { x };
    if x > max { max } else { x }
}

fn floats(place: Place, values: &[f32]) -> Mem<f32> {
    Mem::new(place, values, CANARY)
}

fn pointers(place: Place, values: &[*const f32]) -> Mem<*const f32> {
    Mem::new(place, values, std::ptr::null())
}

/// Starts of `count` runs of `len` values within `buffer`, the first and the last possible among them.
fn runs(rng: &mut Rng, buffer: &[f32], count: usize, len: usize) -> Vec<usize> {
    let last = buffer.len() - len;
    let mut starts: Vec<_> = (0..count).map(|_| rng.range(0, last)).collect();
    starts[0] = last;
    starts[count / 2] = 0;
    starts
}

/// A chain of multiply-adds from `bias`, clamped, and the sum of the magnitudes.
fn chain(bias: f32, products: impl Iterator<Item = (f32, f32)>, (min, max): (f32, f32)) -> (f32, f32) {
    let (mut acc, mut size) = (bias, bias.abs());
    for (a, b) in products {
        acc = a.mul_add(b, acc);
        size += (a * b).abs();
    }
    (clamp(acc, min, max), size)
}

/// What was expected of an output buffer, and by how much it may differ on a level without FMA.
struct Expected {
    values: Vec<f32>,
    slack: Option<Vec<f32>>,
}

impl Expected {
    fn new(kernels: &Kernels, len: usize) -> Expected {
        Expected { values: vec![CANARY; len], slack: (!kernels.fma).then(|| vec![0.0; len]) }
    }

    fn set(&mut self, at: usize, terms: usize, (value, size): (f32, f32)) {
        assert_eq!(self.values[at], CANARY, "the case writes twice");
        self.values[at] = value;
        if let Some(all) = &mut self.slack {
            all[at] = slack(terms, size);
        }
    }

    #[track_caller]
    fn check(&self, what: &dyn std::fmt::Debug, got: &[f32]) {
        compare(what, got, &self.values, self.slack.as_deref());
    }
}

/// Tiles of `mr` rows by `cols` registers; or a `gemv`, with `side_by_side` panels at a time.
pub fn gemm(
    rng: &mut Rng,
    kernels: &Kernels,
    kernel: Kernel<GemmF32>,
    [mr, cols, side_by_side]: [usize; 3],
    place: Place,
) {
    let (lanes, nr) = (kernels.lanes, cols * kernels.lanes);
    let data = rng.data(kernels.fma);
    // Runs end beside multiples of what a kernel by lane takes at a time.
    let (taps, run) = (rng.range(1, 3), rng.edge(4, 6));
    let (tiles, panels) = (rng.range(1, 3), rng.range(1, 2) * side_by_side);
    let offset = rng.below(4);
    let bounds = rng.bounds();
    let k = taps * run;

    // The first column of each register of a panel.
    let narrow = side_by_side == 1 && cols == 1 && rng.one_in(2);
    let last = if side_by_side > 1 || cols == 1 {
        (cols - 1) * lanes
    } else {
        (cols - 1) * lanes - rng.pick(&[0, 1, lanes / 2, lanes - 1])
    };
    let register = |j: usize| if j + 1 == cols { last } else { j * lanes };
    let width = if narrow { rng.range(1, lanes - 1) } else { last + lanes };
    let panel_columns = width + rng.below(3);
    let c_stride = (panels - 1) * panel_columns + width + rng.below(5);

    // B, logically, then packed.
    let logical: Vec<_> = (0..panels).map(|_| rng.values((k + 1) * width, data)).collect();
    let panel_len = nr * (k + 1) + rng.below(3);
    let mut packed = vec![CANARY; (panels - 1) * panel_len + nr * (k + 1)];
    for (q, b) in logical.iter().enumerate() {
        for (row, j, lane) in (0..=k).flat_map(|r| (0..cols).flat_map(move |j| (0..lanes).map(move |l| (r, j, l)))) {
            if let Some(value) = b[row * width..(row + 1) * width].get(register(j) + lane) {
                packed[q * panel_len + row * nr + j * lanes + lane] = *value;
            }
        }
    }

    let m = tiles * mr;
    let spare = rng.range(0, m * taps);
    let a = floats(place, &rng.values(offset + run + spare, data));
    let starts = runs(rng, &a, m * taps, offset + run);
    let rows: Vec<_> = starts.iter().map(|&at| a[at..].as_ptr()).collect();
    let (rows, b) = (pointers(place, &rows), floats(place, &packed));
    let len = (m - 1) * c_stride + (panels - 1) * panel_columns + width;
    let mut c = floats(place, &vec![CANARY; len]);

    let args = GemmF32 {
        rows: rows.as_ptr(),
        offset,
        taps,
        run,
        tiles,
        b: b.as_ptr(),
        panel_len,
        ahead: rng.below(2) == 0,
        panels,
        panel_columns,
        c: c.as_mut_ptr(),
        c_stride,
        last: if narrow { 0 } else { last },
        columns: if narrow { width } else { width + rng.below(9) },
        min: bounds.0,
        max: bounds.1,
    };
    // SAFETY: made by the contract of `GemmF32`.
    unsafe { kernel.run(&args) };

    let mut expected = Expected::new(kernels, len);
    for (i, q, column) in (0..m).flat_map(|i| (0..panels).flat_map(move |q| (0..width).map(move |x| (i, q, x)))) {
        let b = |row: usize| logical[q][row * width + column];
        let products = (0..k).map(|k| (a[starts[i * taps + k / run] + offset + k % run], b(1 + k)));
        expected.set(i * c_stride + q * panel_columns + column, k, chain(b(0), products, bounds));
    }
    expected.check(&(kernel.name, &args, data), &c);
}

/// Weights of `taps` taps as the kernels read them: for each block of channels bias and taps, the last block ends with
/// the last channel.
fn pack_depthwise(lanes: usize, channels: usize, weights: &[f32]) -> Vec<f32> {
    let rows = weights.len() / channels;
    let mut packed = vec![0.0; channels.div_ceil(lanes) * rows * lanes];
    for (block, packed) in packed.chunks_mut(rows * lanes).enumerate() {
        let start = (block * lanes).min(channels.saturating_sub(lanes));
        for (row, packed) in packed.chunks_mut(lanes).enumerate() {
            let n = lanes.min(channels);
            packed[..n].copy_from_slice(&weights[row * channels + start..][..n]);
        }
    }
    packed
}

/// `k` by `k` taps at stride `s`, `rows` by `pixels` at a time.
pub fn dwconv(
    rng: &mut Rng,
    kernels: &Kernels,
    kernel: Kernel<DwConvF32>,
    [k, s, rows, pixels]: [usize; 4],
    place: Place,
) {
    let width = pixels + rng.pick(&[0, 1, pixels - 1, pixels, pixels + 1, 2 * pixels + 1]);
    let inputs = (width - 1) * s + k;
    let input = |row: usize, pixel: usize, tap: usize| (row * s + tap / k) * inputs + pixel * s + tap % k;
    depthwise(rng, kernels, kernel, place, k * k, [rows, width], &input, [k + (rows - 1) * s, inputs]);
}

/// Any taps, `pixels` at a time.
pub fn dwconv_taps(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<DwConvF32>, pixels: usize, place: Place) {
    let (width, taps) = (pixels * rng.range(1, 3), rng.range(1, 12));
    depthwise(rng, kernels, kernel, place, taps, [1, width], &|_, pixel, tap| pixel * taps + tap, [1, width * taps]);
}

/// `tables` tables of `inputs` pixels; `input(row, pixel, tap)` indexes all of them in turn.
#[allow(clippy::too_many_arguments)]
fn depthwise(
    rng: &mut Rng,
    kernels: &Kernels,
    kernel: Kernel<DwConvF32>,
    place: Place,
    taps: usize,
    [outputs, width]: [usize; 2],
    input: &dyn Fn(usize, usize, usize) -> usize,
    [tables, inputs]: [usize; 2],
) {
    let data = rng.data(kernels.fma);
    let channels = rng.edge(kernels.lanes, 3);
    let bounds = rng.bounds();
    let (spare, offset) = (rng.range(0, 4 * inputs), rng.pick(&[0, 0, 3]));
    let x = floats(place, &rng.values(offset + channels + spare, data));
    let zeros = floats(place, &vec![0.0; offset + channels]);
    let starts = runs(rng, &x, tables * inputs, offset + channels);
    // One pixel in eight is padding.
    let pixels: Vec<&[f32]> =
        starts.iter().map(|&at| if rng.one_in(8) { &zeros[..] } else { &x[at..at + offset + channels] }).collect();
    let all: Vec<Mem<*const f32>> = pixels
        .chunks(inputs)
        .map(|table| pointers(place, &table.iter().map(|pixel| pixel.as_ptr()).collect::<Vec<_>>()))
        .collect();
    let mut rows = [std::ptr::null(); DW_ROWS];
    rows.iter_mut().zip(&all).for_each(|(row, table)| *row = table.as_ptr());

    let weights = rng.values((1 + taps) * channels, data);
    let w = floats(place, &pack_depthwise(kernels.lanes, channels, &weights));
    let out_stride = channels + rng.below(4);
    let out_row_stride = width * out_stride + rng.below(4);
    let len = (outputs - 1) * out_row_stride + (width - 1) * out_stride + channels;
    let mut out = floats(place, &vec![CANARY; len]);
    let args = DwConvF32 {
        rows,
        taps,
        width,
        offset,
        channels,
        w: w.as_ptr(),
        out: out.as_mut_ptr(),
        out_stride,
        out_row_stride,
        min: bounds.0,
        max: bounds.1,
    };
    // SAFETY: made by the contract of `DwConvF32`.
    unsafe { kernel.run(&args) };

    let mut expected = Expected::new(kernels, len);
    let outputs = (0..outputs).flat_map(|row| (0..width).map(move |pixel| (row, pixel)));
    for (row, pixel, c) in outputs.flat_map(|(row, pixel)| (0..channels).map(move |c| (row, pixel, c))) {
        let value = |tap: usize| pixels[input(row, pixel, tap)][offset + c];
        let products = (0..taps).map(|tap| (value(tap), weights[(1 + tap) * channels + c]));
        let at = row * out_row_stride + pixel * out_stride + c;
        expected.set(at, taps, chain(weights[c], products, bounds));
    }
    expected.check(&(kernel.name, &args, data), &out);
}

/// The average, or the maximum, of one window.
pub fn pool(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<PoolF32>, maximum: bool, place: Place) {
    let data = rng.data(true);
    let channels = rng.edge(kernels.lanes, 9);
    let (rows, cols) = (rng.range(1, 4), rng.range(1, 4));
    let col_stride = channels + rng.below(3);
    let row_stride = cols * col_stride + rng.below(3);
    let input = floats(place, &rng.values((rows - 1) * row_stride + (cols - 1) * col_stride + channels, data));
    let divisor = rng.pick(&[1.0, 3.0, 9.0, 49.0, (rows * cols) as f32]);
    let mut out = floats(place, &vec![CANARY; channels]);
    let args =
        PoolF32 { input: input.as_ptr(), rows, cols, row_stride, col_stride, channels, divisor, out: out.as_mut_ptr() };
    // SAFETY: made by the contract of `PoolF32`.
    unsafe { kernel.run(&args) };

    let expected: Vec<_> = (0..channels)
        .map(|c| {
            let values = (0..rows * cols).map(|i| input[i / cols * row_stride + i % cols * col_stride + c]);
            if maximum {
                values.fold(f32::NEG_INFINITY, |held, x| if x > held || x.is_nan() { x } else { held })
            } else {
                values.fold(0.0, |sum, x| sum + x) / divisor
            }
        })
        .collect();
    compare(&(kernel.name, &args, data), &out, &expected, None);
}

/// How an elementwise kernel joins its operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Join {
    Add,
    /// There is one.
    One,
    Mul,
}

/// Elementwise kernels in the order of the table.
pub const JOINS: [Join; 3] = [Join::Add, Join::One, Join::Mul];

/// One operand or two, the second for each row or the same for all, in place or not.
pub fn elementwise(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<ElementwiseF32>, join: Join, place: Place) {
    let functions = [Function::Clamp, Function::HardSwish, Function::Sigmoid];
    let (function, in_place) = (rng.pick(&functions), rng.one_in(2));
    // Only the sigmoid has multiply-adds.
    let data = rng.data(kernels.fma || function != Function::Sigmoid);
    let (rows, len) = (rng.range(1, 4), rng.edge(kernels.lanes, 4));
    let (min, max) = rng.bounds();
    let mut stride = || len + rng.below(4);
    let (a_stride, b_stride, out_stride) = (stride(), stride(), stride());
    let b_stride = if rng.one_in(2) { 0 } else { b_stride };
    let out_stride = if in_place { a_stride } else { out_stride };
    let size = |stride: usize| (rows - 1) * stride + len;
    let a = floats(place, &rng.values(size(a_stride), data));
    let b = floats(place, &rng.values(size(b_stride), data));
    let mut expected = if in_place { a.to_vec() } else { vec![CANARY; size(out_stride)] };
    let mut out = floats(place, &expected);
    let args = ElementwiseF32 {
        a: if in_place { out.as_ptr() } else { a.as_ptr() },
        a_stride,
        b: if join == Join::One { std::ptr::null() } else { b.as_ptr() },
        b_stride,
        out: out.as_mut_ptr(),
        out_stride,
        rows,
        len,
        function,
        min,
        max,
    };
    // SAFETY: made by the contract of `ElementwiseF32`.
    unsafe { kernel.run(&args) };

    for (row, i) in (0..rows).flat_map(|row| (0..len).map(move |i| (row, i))) {
        let x = a[row * a_stride + i];
        let b = b[row * b_stride + i];
        let x = match join {
            Join::Add => x + b,
            Join::One => x,
            Join::Mul => x * b,
        };
        expected[row * out_stride + i] = match function {
            Function::Clamp => clamp(x, min, max),
            Function::HardSwish => x * (clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0)),
            Function::Sigmoid => reference::sigmoid(x),
        };
    }
    let slack = (!kernels.fma && function == Function::Sigmoid)
        .then(|| expected.iter().map(|&y| sigmoid_slack(y)).collect::<Vec<_>>());
    compare(&(kernel.name, &args, in_place, data), &out, &expected, slack.as_deref());
}

/// A matrix of any 32 bits.
pub fn transpose(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<TransposeX32>, place: Place) {
    let (rows, cols) = (rng.edge(kernels.lanes, 3), rng.edge(kernels.lanes, 3));
    let (src_stride, dst_stride) = (cols + rng.below(3), rows + rng.below(3));
    let bits: Vec<_> = (0..(rows - 1) * src_stride + cols).map(|_| f32::from_bits(rng.next() as u32)).collect();
    let src = floats(place, &bits);
    let mut expected = vec![CANARY; (cols - 1) * dst_stride + rows];
    let mut dst = floats(place, &expected);
    let args = TransposeX32 { src: src.as_ptr(), src_stride, dst: dst.as_mut_ptr(), dst_stride, rows, cols };
    // SAFETY: made by the contract of `TransposeX32`.
    unsafe { kernel.run(&args) };

    for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
        expected[c * dst_stride + r] = src[r * src_stride + c];
    }
    // Not numbers but bits: also those of NaN.
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&dst), bits(&expected), "{} {args:?}", kernel.name);
}

/// Pixels of groups of any bits, the size of `B`, that are narrower than a row of 16 bytes or wider.
pub fn interleave<T: Debug, B: Copy + PartialEq + Debug>(
    rng: &mut Rng,
    kernels: &[Kernel<Interleave<T>>],
    place: Place,
    canary: B,
    any: fn(u64) -> B,
) {
    for (kernel, groups) in kernels.iter().zip(INTERLEAVED) {
        let (pixels, each) = (rng.range(1, 4), rng.edge(16 / size_of::<B>(), 4));
        let channels = groups * each;
        let [x_stride, y_stride] = [channels + rng.below(3), channels + rng.below(3)];
        let len = |stride| (pixels - 1) * stride + channels;
        let x: Vec<_> = (0..len(x_stride)).map(|_| any(rng.next())).collect();
        let x = Mem::new(place, &x, canary);
        let mut expected = vec![canary; len(y_stride)];
        let mut y = Mem::new(place, &expected, canary);
        let args = Interleave { x: x.as_ptr().cast(), x_stride, y: y.as_mut_ptr().cast(), y_stride, pixels, each };
        // SAFETY: made by the contract of `Interleave`; a `B` is as large as a `T`.
        unsafe { kernel.run(&args) };

        for (pixel, c) in (0..pixels).flat_map(|pixel| (0..channels).map(move |c| (pixel, c))) {
            expected[pixel * y_stride + c] = x[pixel * x_stride + c % groups * each + c / groups];
        }
        assert_eq!(y[..], expected[..], "{} {args:?}", kernel.name);
    }
}

/// Small whole numbers, of which every sum is exact.
pub fn probes(rng: &mut Rng, kernels: &Kernels, place: Place) {
    let lanes = kernels.lanes;
    let len = 8 * lanes * rng.range(1, 4);
    let turns = rng.below(5);
    let whole: Vec<_> = (0..len).map(|_| rng.below(9) as f32 - 4.0).collect();
    let run = |kernel: Kernel<Probe>, data: &[f32]| {
        let data = floats(place, data);
        let mut out = floats(place, &vec![CANARY; lanes]);
        let args = Probe { data: data.as_ptr(), len, turns, out: out.as_mut_ptr() };
        // SAFETY: made by the contract of `Probe`.
        unsafe { kernel.run(&args) };
        out.to_vec()
    };
    let read = run(kernels.probe_read_f32[0], &whole);
    let (sum, turns) = (whole.iter().sum::<f32>(), turns as f32);
    assert_eq!(read.iter().sum::<f32>(), turns * sum, "{}", kernels.probe_read_f32[0].name);
    let chains = kernels.probe_fma_flops / (2 * lanes);
    let fma = run(kernels.probe_fma_f32[0], &whole[..lanes]);
    for (x, got) in whole.iter().zip(fma) {
        let expected: f32 = (0..chains).map(|i| i as f32 + turns * x * x).sum();
        assert_eq!(got, expected, "{}", kernels.probe_fma_f32[0].name);
    }
}

/// A case for every kernel of a level.
pub fn every_kernel(rng: &mut Rng, kernels: &Kernels, place: Place) {
    for (cols, &max) in (1..).zip(kernels.gemm_mr) {
        for mr in 1..=max {
            gemm(rng, kernels, kernels.gemm(mr, cols).expect("in the table"), [mr, cols, 1], place);
        }
    }
    let cols = kernels.gemm_mr.len();
    kernels.gemv_f32.iter().for_each(|&kernel| gemm(rng, kernels, kernel, [1, cols, kernels.gemv_panels], place));
    for (k, s) in kolibri::kernels::DW_SHAPES {
        for (rows, (i, &pixels)) in
            (1..=kernels.dw_rows).flat_map(|rows| kernels.dw_pixels.iter().enumerate().map(move |of| (rows, of)))
        {
            let kernel = kernels.dwconv(k, s, rows, i).expect("in the table");
            dwconv(rng, kernels, kernel, [k, s, rows, pixels], place);
        }
    }
    for (&kernel, pixels) in kernels.dwconv_taps_f32.iter().zip(kolibri::kernels::TAPS_PIXELS) {
        dwconv_taps(rng, kernels, kernel, pixels, place);
    }
    pool(rng, kernels, kernels.pool_f32[0], false, place);
    pool(rng, kernels, kernels.pool_f32[1], true, place);
    for (&kernel, join) in kernels.elementwise_f32.iter().zip(JOINS) {
        elementwise(rng, kernels, kernel, join, place);
    }
    kernels.transpose_x32.iter().for_each(|&kernel| transpose(rng, kernels, kernel, place));
    interleave(rng, kernels.interleave_x32, place, 0xa5a5_a5a5u32, |any| any as u32);
    probes(rng, kernels, place);
    kernel_i8_cases::every_kernel(rng, kernels, place);
}

//! Cases for the kernels of bytes, as in `kernel_cases`. Sums and bytes are exact, so that every level gives the same.

use super::{
    Data, Rng,
    int8_cases::{Bytes, bytes, kind},
    kernel_cases::interleave,
    mem::{Mem, Place},
};
use kolibri::kernels::{
    AMX_K, AMX_ROWS, AddI8, DW_ROWS, DW_SHAPES, DwConvI8, DwI8, GemmI8, Int8, Kernel, Kernels, LookupI8, PoolI8, Probe,
    QuantiseI8, RequantiseI8, ScaleI8, TransposeX8, WidenI8, amx_k,
};
use std::fmt::Debug;

/// What bytes hold before, and what is around them.
const CANARY: u8 = 0xa5;
/// The same of sums.
const SUM_CANARY: i32 = 0x5a5a_5a5a;

fn memory(place: Place, values: &[u8]) -> Mem<u8> {
    Mem::new(place, values, CANARY)
}

fn any(rng: &mut Rng, place: Place, len: usize, kind: Bytes) -> Mem<u8> {
    memory(place, &bytes::<u8>(rng, len, kind))
}

fn sums(place: Place, len: usize) -> Mem<i32> {
    Mem::new(place, &vec![SUM_CANARY; len], SUM_CANARY)
}

fn any_sum(rng: &mut Rng) -> i32 {
    let all = rng.next() as i32;
    if rng.one_in(4) { all } else { all >> rng.range(8, 20) }
}

/// What was expected of an output buffer: where `None`, what there was.
struct Expected<T>(Vec<Option<T>>);

impl<T: Copy + PartialEq + Debug> Expected<T> {
    fn new(len: usize) -> Expected<T> {
        Expected(vec![None; len])
    }

    fn set(&mut self, at: usize, value: T) {
        assert!(self.0[at].is_none(), "the case writes twice");
        self.0[at] = Some(value);
    }

    #[track_caller]
    fn check(&self, what: &dyn Debug, got: &[T], before: T) {
        for (i, (&got, expected)) in got.iter().zip(&self.0).enumerate() {
            let expected = expected.unwrap_or(before);
            assert_eq!(got, expected, "{what:?}: at {i}");
        }
    }
}

/// The end of a kernel of products: sums to bytes.
#[derive(Clone, Copy, Debug)]
struct Output {
    zero_point: i16,
    min: u8,
    max: u8,
    flip: u8,
}

impl Output {
    fn random(rng: &mut Rng) -> Output {
        let (a, b) = (rng.next() as u8, rng.next() as u8);
        let (min, max) = rng.pick(&[(0, 255), (0, 255), (a.min(b), a.max(b)), (a, a)]);
        Output { zero_point: rng.pick(&[0, 128, 255, i16::from(a)]), min, max, flip: rng.pick(&[0, 0x80]) }
    }

    fn byte(&self, value: f32) -> u8 {
        self.clamp(value.round_ties_even() as i64)
    }

    fn clamp(&self, value: i64) -> u8 {
        let value = value + i64::from(self.zero_point);
        (value.clamp(self.min.into(), self.max.into()) as u8) ^ self.flip
    }
}

/// Scales below 1 and positive: some leave a sum within a byte, some far outside.
fn scale(rng: &mut Rng) -> f32 {
    f32::exp2(-(rng.range(1, 20) as f32)) * (1.0 + rng.range(0, 1000) as f32 / 1001.0)
}

/// What a byte of an operand is in a product.
fn value(byte: u8, signed: bool) -> i32 {
    if signed { (byte as i8).into() } else { byte.into() }
}

/// Writes `value`, of `element` bytes.
fn put(into: &mut [u8], at: usize, element: usize, value: i32) {
    into[at..at + element].copy_from_slice(&value.to_le_bytes()[..element]);
}

/// Tiles of `mr` rows by `cols` registers, or for tile registers any rows.
pub fn gemm(rng: &mut Rng, int8: &Int8, kernel: Kernel<GemmI8>, mr: Option<usize>, cols: usize, place: Place) {
    let (lanes, nr) = (int8.lanes, cols * int8.lanes);
    let tiles = if mr.is_some() { rng.range(1, 3) } else { AMX_ROWS + rng.below(70) };
    let (m, panels) = (tiles * mr.unwrap_or(1), rng.range(1, 2));
    let k = if mr.is_some() { int8.unit * rng.edge(8, 3) } else { amx_k(rng.range(1, 3 * AMX_K)) };
    let values = k / int8.element;
    let (output, kinds, to_sums) = (Output::random(rng), [kind(rng), kind(rng)], rng.one_in(3));

    // The first column of each register of a panel.
    let narrow = cols == 1 && mr.is_some() && rng.one_in(2);
    let last = match cols {
        1 => 0,
        _ => (cols - 1) * lanes - rng.pick(&[0, 1, lanes / 2, lanes - 1]),
    };
    let register = |j: usize| if j + 1 == cols { last } else { j * lanes };
    let width = if narrow { rng.range(1, lanes - 1) } else { last + lanes };
    let panel_columns = width + rng.below(3);
    let c_stride = (panels - 1) * panel_columns + width + rng.below(5);

    // A, logically and as it lies; B, logically, then packed.
    let a_bytes = bytes::<u8>(rng, m * values, kinds[0]);
    let a_at = |i: usize, k: usize| value(a_bytes[i * values + k], int8.signed);
    let a_stride = k + rng.below(9);
    let mut rows = vec![CANARY; (m - 1) * a_stride + k];
    for (i, at) in (0..m).flat_map(|i| (0..values).map(move |k| (i, k))) {
        put(&mut rows, i * a_stride + at * int8.element, int8.element, a_at(i, at));
    }
    let weights: Vec<Vec<i8>> = (0..panels).map(|_| bytes(rng, values * width, kinds[1])).collect();
    let heads: Vec<Vec<_>> = (0..panels).map(|_| (0..width).map(|_| (any_sum(rng), scale(rng))).collect()).collect();
    let full = nr * (8 + k);
    let panel_len = full + rng.below(9);
    let mut packed = vec![CANARY; (panels - 1) * panel_len + full];
    for (q, j, lane) in (0..panels).flat_map(|q| (0..cols).flat_map(move |j| (0..lanes).map(move |lane| (q, j, lane))))
    {
        let (column, at, lane) = (register(j) + lane, q * panel_len, j * lanes + lane);
        let Some((bias, scale)) = heads[q].get(column) else { continue };
        put(&mut packed, at + 4 * lane, 4, *bias);
        put(&mut packed, at + 4 * (nr + lane), 4, scale.to_bits() as i32);
        for k in 0..values {
            let byte = (k / int8.values() * nr + lane) * int8.unit + k % int8.values() * int8.element;
            put(&mut packed, at + 8 * nr + byte, int8.element, weights[q][k * width + column].into());
        }
    }

    let (a, b) = (memory(place, &rows), memory(place, &packed));
    let len = (m - 1) * c_stride + (panels - 1) * panel_columns + width;
    let mut c = memory(place, &vec![CANARY; if to_sums { 0 } else { len }]);
    let mut c_sums = sums(place, if to_sums { len } else { 0 });
    let args = GemmI8 {
        a: a.as_ptr(),
        a_stride,
        k,
        tiles,
        b: b.as_ptr(),
        panel_len,
        ahead: rng.below(2) == 0,
        panels,
        panel_columns,
        c: c.as_mut_ptr(),
        c_stride,
        sums: if to_sums { c_sums.as_mut_ptr() } else { std::ptr::null_mut() },
        sums_stride: c_stride,
        last,
        columns: if narrow { width } else { width + rng.below(9) },
        zero_point: output.zero_point,
        min: output.min,
        max: output.max,
        flip: output.flip,
    };
    // SAFETY: made by the contract of `GemmI8`.
    unsafe { kernel.run(&args) };

    let (mut expected, mut expected_sums) = (Expected::new(c.len()), Expected::new(c_sums.len()));
    for (i, q, column) in (0..m).flat_map(|i| (0..panels).flat_map(move |q| (0..width).map(move |x| (i, q, x)))) {
        let (bias, scale) = heads[q][column];
        let product = |k: usize| a_at(i, k) * i32::from(weights[q][k * width + column]);
        let sum = (0..values).map(product).fold(bias, i32::wrapping_add);
        let at = i * c_stride + q * panel_columns + column;
        if to_sums { expected_sums.set(at, sum) } else { expected.set(at, output.byte(sum as f32 * scale)) }
    }
    let what = (kernel.name, &args, kinds);
    expected.check(&what, &c, CANARY);
    expected_sums.check(&what, &c_sums, SUM_CANARY);
}

/// Whole blocks of channels, or a last one that overlaps, or less than one.
fn channels(rng: &mut Rng, dw: &DwI8) -> usize {
    let block = dw.channels();
    if rng.one_in(2) { block * rng.range(1, 3) } else { rng.range(1, 3 * block) }
}

/// `k` by `k` taps at stride `s`, `pixels` at a time.
pub fn dwconv(rng: &mut Rng, dw: &DwI8, kernel: Kernel<DwConvI8>, [k, s, pixels]: [usize; 3], place: Place) {
    let width = pixels + rng.pick(&[0, 1, pixels - 1, pixels, pixels + 1, 2 * pixels + 1]);
    let (inputs, g, at_once) = ((width - 1) * s + k, dw.int8.values(), dw.outputs(k, s));
    let rows = k + (at_once - 1) * s;
    let input = |pixel: usize, product: usize, row: usize| {
        let row = product / k * g + row;
        (row < rows).then_some(row * inputs + pixel * s + product % k)
    };
    let units = if at_once == 1 { 0 } else { inputs * dw.column_len(k) };
    depthwise(rng, dw, kernel, place, [0, width, k.div_ceil(g) * k], &input, [rows, inputs], [at_once, units]);
}

/// Any taps.
pub fn dwconv_taps(rng: &mut Rng, dw: &DwI8, kernel: Kernel<DwConvI8>, place: Place) {
    let (width, g) = (rng.range(1, 5), dw.int8.values());
    let products = rng.range(1, 5);
    let taps = products * g;
    let input = |pixel: usize, product: usize, row: usize| Some(pixel * taps + product * g + row);
    depthwise(rng, dw, kernel, place, [taps, width, products], &input, [1, width * taps], [1, 0]);
}

/// `tables` tables of `inputs` pixels; `input(pixel, product, row)` indexes all of them in turn. Each of the rows that are
/// computed `at_once` has `products` of its own, any weights.
#[allow(clippy::too_many_arguments)]
fn depthwise(
    rng: &mut Rng,
    dw: &DwI8,
    kernel: Kernel<DwConvI8>,
    place: Place,
    [taps, width, products]: [usize; 3],
    input: &dyn Fn(usize, usize, usize) -> Option<usize>,
    [tables, inputs]: [usize; 2],
    [at_once, units]: [usize; 2],
) {
    let (int8, block) = (&dw.int8, dw.channels());
    let channels = channels(rng, dw);
    let (output, kinds, any_taps) = (Output::random(rng), [kind(rng), kind(rng)], taps > 0);
    let (to_sums, flip_in, offset) = (any_taps && rng.one_in(3), rng.pick(&[0, 0x80]), rng.below(4));
    let spare = rng.range(0, 4 * inputs);
    // Kernels of a shape read a whole block.
    let read = if any_taps { channels } else { channels.max(block) };
    let x = any(rng, place, offset + read + spare, kinds[0]);
    let last = x.len() - offset - read;
    let mut starts: Vec<_> = (0..tables * inputs).map(|_| rng.range(0, last)).collect();
    (starts[0], starts[tables * inputs / 2]) = (last, 0);
    let pointer = |&at: &usize| x[at..].as_ptr();
    let all: Vec<Mem<*const u8>> = starts
        .chunks(inputs)
        .map(|table| Mem::new(place, &table.iter().map(pointer).collect::<Vec<_>>(), std::ptr::null()))
        .collect();
    let mut rows = [std::ptr::null(); DW_ROWS];
    rows.iter_mut().zip(&all).for_each(|(row, table)| *row = table.as_ptr());

    let g = int8.values();
    let all_products = at_once * products;
    let weights: Vec<i8> = bytes(rng, channels * all_products * g, kinds[1]);
    let weight = |c: usize, product: usize, row: usize| i32::from(weights[(c * all_products + product) * g + row]);
    let heads: Vec<_> = (0..channels).map(|_| (any_sum(rng), scale(rng))).collect();
    let mut packed = vec![0; channels.div_ceil(block) * dw.block_len(all_products)];
    for (b, into) in packed.chunks_mut(dw.block_len(all_products)).enumerate() {
        let first = (b * block).min(channels.saturating_sub(block));
        for (register, lane) in (0..dw.registers).flat_map(|r| (0..int8.lanes).map(move |lane| (r, lane))) {
            let (c, lane) = (first + dw.channel(register, lane), register * int8.lanes + lane);
            let Some((bias, scale)) = heads.get(c) else { continue };
            put(into, 4 * lane, 4, *bias);
            put(into, 4 * (block + lane), 4, scale.to_bits() as i32);
            for (product, row) in (0..all_products).flat_map(|product| (0..g).map(move |row| (product, row))) {
                let at = 8 * block + (product * block + lane) * int8.unit + row * int8.element;
                put(into, at, int8.element, weight(c, product, row));
            }
        }
    }
    let w = memory(place, &packed);
    let out_stride = channels + rng.below(4);
    let (outputs, out_row_stride) = (rng.range(1, at_once), width * out_stride + rng.below(4));
    let len = (outputs - 1) * out_row_stride + (width - 1) * out_stride + channels;
    let mut units = memory(place, &vec![0u8; units]);
    let mut out = memory(place, &vec![CANARY; if to_sums { 0 } else { len }]);
    let mut out_sums = sums(place, if to_sums { len } else { 0 });
    let args = DwConvI8 {
        rows,
        taps,
        width,
        offset,
        channels,
        w: w.as_ptr(),
        out: out.as_mut_ptr(),
        out_stride,
        outputs,
        out_row_stride,
        units: units.as_mut_ptr(),
        sums: if to_sums { out_sums.as_mut_ptr() } else { std::ptr::null_mut() },
        sums_stride: out_stride,
        zero_point: output.zero_point,
        min: output.min,
        max: output.max,
        flip_in,
        flip: output.flip,
    };
    // SAFETY: made by the contract of `DwConvI8`.
    unsafe { kernel.run(&args) };

    let (mut expected, mut expected_sums) = (Expected::new(out.len()), Expected::new(out_sums.len()));
    for i in 0..outputs * width * channels {
        let (below, pixel, c) = (i / channels / width, i / channels % width, i % channels);
        let (bias, scale) = heads[c];
        let mut sum = bias;
        for (product, row) in (0..products).flat_map(|product| (0..g).map(move |row| (product, row))) {
            if let Some(input) = input(pixel, product, row) {
                let byte = x[starts[input] + offset + c];
                let x = value(if any_taps { byte ^ flip_in } else { byte }, int8.signed);
                sum = sum.wrapping_add(x * weight(c, below * products + product, row));
            }
        }
        let at = below * out_row_stride + pixel * out_stride + c;
        if to_sums { expected_sums.set(at, sum) } else { expected.set(at, output.byte(sum as f32 * scale)) }
    }
    let what = (kernel.name, &args, kinds);
    expected.check(&what, &out, CANARY);
    expected_sums.check(&what, &out_sums, SUM_CANARY);
}

/// With a residual and without.
pub fn requantise(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<RequantiseI8>, place: Place) {
    let (rows, len) = (rng.range(1, 4), rng.edge(kernels.lanes, 9));
    let (output, has_residual, kind) = (Output::random(rng), rng.one_in(2), kind(rng));
    let mut stride = || len + rng.below(4);
    let (sums_stride, residual_stride, out_stride) = (stride(), stride(), stride());
    let size = |stride: usize| (rows - 1) * stride + len;
    let values: Vec<_> = (0..size(sums_stride)).map(|_| any_sum(rng)).collect();
    let values = Mem::new(place, &values, SUM_CANARY);
    // Also scales of which a product of a sum is far outside i32.
    let scales: Vec<_> = (0..len).map(|_| scale(rng) * rng.pick(&[1.0, 1e4, 1e15])).collect();
    let scales = Mem::new(place, &scales, -1.0);
    let residual = any(rng, place, size(residual_stride), kind);
    let (residual_zero, residual_scale) = (rng.below(256) as i32, scale(rng) * 16.0);
    let zero_point = i32::from(output.zero_point);
    let bound = |byte: u8| (i32::from(byte) - zero_point) as f32;
    let mut out = memory(place, &vec![CANARY; size(out_stride)]);
    let args = RequantiseI8 {
        sums: values.as_ptr(),
        sums_stride,
        scales: scales.as_ptr(),
        residual: if has_residual { residual.as_ptr() } else { std::ptr::null() },
        residual_stride,
        residual_zero,
        residual_scale,
        out: out.as_mut_ptr(),
        out_stride,
        rows,
        len,
        zero_point: output.zero_point,
        min: output.min,
        max: output.max,
        flip: output.flip,
    };
    // SAFETY: made by the contract of `RequantiseI8`.
    unsafe { kernel.run(&args) };

    let mut expected = Expected::new(out.len());
    for (row, i) in (0..rows).flat_map(|row| (0..len).map(move |i| (row, i))) {
        let mut value = values[row * sums_stride + i] as f32 * scales[i];
        if has_residual {
            let byte = i32::from(residual[row * residual_stride + i] ^ output.flip);
            value += (byte - residual_zero) as f32 * residual_scale;
        }
        expected.set(row * out_stride + i, output.byte(value.clamp(bound(output.min), bound(output.max))));
    }
    expected.check(&(kernel.name, &args), &out, CANARY);
}

/// Reals, also such that no byte stands for.
pub fn quantise(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<QuantiseI8>, place: Place) {
    let (rows, len) = (rng.range(1, 4), rng.edge(kernels.lanes, 9));
    let (output, scale) = (Output::random(rng), scale(rng) * rng.pick(&[1e-30, 1.0, 1e30]));
    let mut stride = || len + rng.below(4);
    let (x_stride, out_stride) = (stride(), stride());
    let size = |stride: usize| (rows - 1) * stride + len;
    let values: Vec<_> = (0..size(x_stride))
        .map(|_| match rng.below(4) {
            0 => rng.pick(&[f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, f32::MIN, 1e-45]),
            1 => (rng.below(600) as f32 - 300.0) * 0.5 * scale,
            _ => rng.value(Data::Plain) * 100.0 * scale,
        })
        .collect();
    let x = Mem::new(place, &values, 0.0);
    let mut out = memory(place, &vec![CANARY; size(out_stride)]);
    let args = QuantiseI8 {
        x: x.as_ptr(),
        x_stride,
        out: out.as_mut_ptr(),
        out_stride,
        rows,
        len,
        scale,
        zero_point: output.zero_point,
        min: output.min,
        max: output.max,
        flip: output.flip,
    };
    // SAFETY: made by the contract of `QuantiseI8`.
    unsafe { kernel.run(&args) };

    let bound = |byte: u8| f32::from(i16::from(byte) - output.zero_point);
    let mut expected = Expected::new(out.len());
    for (row, i) in (0..rows).flat_map(|row| (0..len).map(move |i| (row, i))) {
        let steps = x[row * x_stride + i] / scale;
        let steps = if steps.is_nan() { 0.0 } else { steps };
        expected.set(row * out_stride + i, output.byte(steps.clamp(bound(output.min), bound(output.max))));
    }
    expected.check(&(kernel.name, &args), &out, CANARY);
}

/// The sums, or the maxima, of one window.
pub fn pool(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<PoolI8>, maximum: bool, place: Place) {
    let channels = rng.edge(if maximum { 4 } else { 1 } * kernels.lanes, 9);
    let (rows, cols, kind) = (rng.range(1, 4), rng.range(1, 4), kind(rng));
    let col_stride = channels + rng.below(3);
    let row_stride = cols * col_stride + rng.below(3);
    let input = any(rng, place, (rows - 1) * row_stride + (cols - 1) * col_stride + channels, kind);
    let Output { min, max, flip, .. } = Output::random(rng);
    let start = any_sum(rng) >> 1;
    let mut out = memory(place, &vec![CANARY; if maximum { channels } else { 0 }]);
    let mut out_sums = sums(place, if maximum { 0 } else { channels });
    let args = PoolI8 {
        input: input.as_ptr(),
        rows,
        cols,
        row_stride,
        col_stride,
        channels,
        start,
        sums: out_sums.as_mut_ptr(),
        out: out.as_mut_ptr(),
        min,
        max,
        flip,
    };
    // SAFETY: made by the contract of `PoolI8`.
    unsafe { kernel.run(&args) };

    let (mut expected, mut expected_sums) = (Expected::new(out.len()), Expected::new(out_sums.len()));
    for c in 0..channels {
        let values = (0..rows * cols).map(|i| input[i / cols * row_stride + i % cols * col_stride + c] ^ flip);
        if maximum {
            expected.set(c, values.fold(min, u8::max).min(max) ^ flip);
        } else {
            expected_sums.set(c, values.fold(start, |sum, value| sum + i32::from(value)));
        }
    }
    let what = (kernel.name, &args, kind);
    expected.check(&what, &out, CANARY);
    expected_sums.check(&what, &out_sums, SUM_CANARY);
}

/// Factors that are differences of bytes.
pub fn scale_channels(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<ScaleI8>, place: Place) {
    let (rows, len) = (rng.range(1, 4), rng.edge(kernels.lanes, 9));
    let (output, kind) = (Output::random(rng), kind(rng));
    let mut stride = || len + rng.below(4);
    let (x_stride, out_stride) = (stride(), stride());
    let size = |stride: usize| (rows - 1) * stride + len;
    let x = any(rng, place, size(x_stride), kind);
    let factors: Vec<_> = (0..len).map(|_| rng.range(0, 510) as f32 - 255.0).collect();
    let factors = Mem::new(place, &factors, -1.0);
    let zero = rng.below(256) as i32;
    // Up to those whose products all but leave i32.
    let scale = scale(rng) * rng.pick(&[1.0, 0.01, 32767.0]);
    let mut out = memory(place, &vec![CANARY; size(out_stride)]);
    let args = ScaleI8 {
        x: x.as_ptr(),
        x_stride,
        zero,
        factors: factors.as_ptr(),
        scale,
        out: out.as_mut_ptr(),
        out_stride,
        rows,
        len,
        zero_point: output.zero_point,
        min: output.min,
        max: output.max,
        flip: output.flip,
    };
    // SAFETY: made by the contract of `ScaleI8`.
    unsafe { kernel.run(&args) };

    let mut expected = Expected::new(out.len());
    for (row, i) in (0..rows).flat_map(|row| (0..len).map(move |i| (row, i))) {
        let byte = i32::from(x[row * x_stride + i] ^ output.flip);
        let product = (byte - zero) * factors[i] as i32;
        expected.set(row * out_stride + i, output.byte(product as f32 * scale));
    }
    expected.check(&(kernel.name, &args, kind), &out, CANARY);
}

/// Weighted sums of two operands.
pub fn add(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<AddI8>, place: Place) {
    let (rows, len) = (rng.range(1, 4), rng.edge(kernels.lanes, 9));
    let (output, kinds) = (Output::random(rng), [kind(rng), kind(rng)]);
    let mut stride = || len + rng.below(4);
    let (a_stride, b_stride, out_stride) = (stride(), stride(), stride());
    let size = |stride: usize| (rows - 1) * stride + len;
    let (a, b) = (any(rng, place, size(a_stride), kinds[0]), any(rng, place, size(b_stride), kinds[1]));
    // Products are below 2^29 each.
    let mut multiplier = || if rng.one_in(4) { 1 << 21 } else { rng.range(0, 1 << 21) as i32 };
    let (a_multiplier, b_multiplier) = (multiplier(), multiplier());
    let (bias, shift) = (any_sum(rng) >> 2, rng.range(0, 31) as i32);
    let mut out = memory(place, &vec![CANARY; size(out_stride)]);
    let args = AddI8 {
        a: a.as_ptr(),
        a_stride,
        b: b.as_ptr(),
        b_stride,
        out: out.as_mut_ptr(),
        out_stride,
        rows,
        len,
        a_multiplier,
        b_multiplier,
        bias,
        shift,
        zero_point: output.zero_point,
        min: output.min,
        max: output.max,
        flip: output.flip,
    };
    // SAFETY: made by the contract of `AddI8`.
    unsafe { kernel.run(&args) };

    let mut expected = Expected::new(out.len());
    for (row, i) in (0..rows).flat_map(|row| (0..len).map(move |i| (row, i))) {
        let byte = |x: &[u8], stride: usize| i32::from(x[row * stride + i] ^ output.flip);
        let sum = byte(&a, a_stride) * a_multiplier + byte(&b, b_stride) * b_multiplier + bias;
        expected.set(row * out_stride + i, output.clamp((sum >> shift).into()));
    }
    expected.check(&(kernel.name, &args, kinds), &out, CANARY);
}

/// In place or not.
pub fn lookup(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<LookupI8>, place: Place) {
    let (rows, len, in_place) = (rng.range(1, 4), rng.edge(4 * kernels.lanes, 4), rng.one_in(2));
    let x_stride = len + rng.below(4);
    let out_stride = if in_place { x_stride } else { len + rng.below(4) };
    let size = |stride: usize| (rows - 1) * stride + len;
    let table = any(rng, place, 256, Bytes::Any);
    let x = any(rng, place, size(x_stride), Bytes::Any);
    let before = if in_place { x.to_vec() } else { vec![CANARY; size(out_stride)] };
    let mut out = memory(place, &before);
    let args = LookupI8 {
        table: table.as_ptr(),
        x: if in_place { out.as_ptr() } else { x.as_ptr() },
        x_stride,
        out: out.as_mut_ptr(),
        out_stride,
        rows,
        len,
    };
    // SAFETY: made by the contract of `LookupI8`.
    unsafe { kernel.run(&args) };

    let mut expected = before;
    for (row, i) in (0..rows).flat_map(|row| (0..len).map(move |i| (row, i))) {
        expected[row * out_stride + i] = table[usize::from(x[row * x_stride + i])];
    }
    assert_eq!(out[..], expected[..], "{} {args:?} {in_place}", kernel.name);
}

/// A matrix of bytes.
pub fn transpose(rng: &mut Rng, kernel: Kernel<TransposeX8>, place: Place) {
    let (rows, cols) = (rng.edge(16, 3), rng.edge(16, 3));
    let (src_stride, dst_stride) = (cols + rng.below(3), rows + rng.below(3));
    let src = any(rng, place, (rows - 1) * src_stride + cols, Bytes::Any);
    let mut dst = memory(place, &vec![CANARY; (cols - 1) * dst_stride + rows]);
    let args = TransposeX8 { src: src.as_ptr(), src_stride, dst: dst.as_mut_ptr(), dst_stride, rows, cols };
    // SAFETY: made by the contract of `Transpose`.
    unsafe { kernel.run(&args) };

    let mut expected = Expected::new(dst.len());
    for (r, c) in (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))) {
        expected.set(c * dst_stride + r, src[r * src_stride + c]);
    }
    expected.check(&(kernel.name, &args), &dst, CANARY);
}

/// Small values, which are the same signed or not.
pub fn probe(rng: &mut Rng, kernels: &Kernels, place: Place) {
    let (int8, kernel, turns) = (&kernels.int8, kernels.probe_dot_i8[0], rng.below(5));
    let lanes = int8.lanes;
    let mut data = vec![0; 4 * (lanes.max(lanes * int8.unit / 4) + 8)];
    let values: Vec<_> = (0..data.len() / int8.element).map(|_| rng.below(4) as i32).collect();
    values.iter().enumerate().for_each(|(i, &value)| put(&mut data, i * int8.element, int8.element, value));
    let words: Vec<_> = data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().expect("four"))).collect();
    let data = Mem::new(place, &words, 0.0);
    let canary = f32::from_bits(SUM_CANARY as u32);
    let mut out = Mem::new(place, &vec![canary; lanes], canary);
    let args = Probe { data: data.as_ptr(), len: data.len(), turns, out: out.as_mut_ptr() };
    // SAFETY: made by the contract of `Probe`.
    unsafe { kernel.run(&args) };

    // Chain `j * xs + i`: operands from the i-th and the j-th word on. Products on tile registers leave a row of their
    // last sum, of operands from words 1 and 3 on: each word of the one with one word of the other.
    let ys = 6;
    let xs = kernels.probe_dot_ops / (2 * lanes * int8.values()) / ys;
    for (lane, got) in out.iter().enumerate() {
        // A product of matrices: four lanes are the products of two rows by two.
        let (a, b) = if int8.rows == 2 { (lane / 4 * 2 + lane / 2 % 2, lane / 4 * 2 + lane % 2) } else { (lane, lane) };
        let unit = |word: usize, i: usize| {
            let first = 4 * word / int8.element + i * int8.values();
            values[first..first + int8.values()].iter()
        };
        let dot = |i: usize, j: usize| unit(i, a).zip(unit(j, b)).map(|(a, b)| a * b).sum::<i32>();
        let chain = |c: usize| c as i32 + turns as i32 * dot(c % xs, c / xs);
        let expected = if kernels.gemm_i8_amx.is_empty() {
            (1..xs * ys).fold(chain(0), |all, c| all - chain(c))
        } else {
            let dot = |k: usize| unit(1, k).zip(unit(3, lane)).map(|(a, b)| a * b).sum::<i32>();
            turns as i32 * (0..lanes).map(dot).sum::<i32>()
        };
        assert_eq!(got.to_bits() as i32, expected, "{} {args:?} {lane}", kernel.name);
    }
}

/// A case for every kernel of bytes of a level.
pub fn every_kernel(rng: &mut Rng, kernels: &Kernels, place: Place) {
    let int8 = &kernels.int8;
    for (cols, &max) in (1..).zip(int8.mr) {
        for mr in 1..=max {
            gemm(rng, int8, kernels.gemm_i8(mr, cols).expect("in the table"), Some(mr), cols, place);
        }
    }
    for (cols, &kernel) in (1..).zip(kernels.gemm_i8_amx) {
        gemm(rng, int8, kernel, None, cols, place);
    }
    for dw in kernels.dw_i8 {
        for (k, s) in DW_SHAPES {
            for (i, &pixels) in dw.pixels.iter().enumerate() {
                dwconv(rng, dw, dw.dwconv(k, s, i).expect("in the table"), [k, s, pixels], place);
            }
        }
        dw.dwconv_i8_taps.iter().for_each(|&kernel| dwconv_taps(rng, dw, kernel, place));
    }
    small_kernels(rng, kernels, place);
    probe(rng, kernels, place);
}

/// Signed or not, as the base of a level multiplies.
pub fn widen(rng: &mut Rng, kernels: &Kernels, kernel: Kernel<WidenI8>, place: Place) {
    let (len, flip, kind) = (rng.edge(32, 5), rng.pick(&[0, 0x80]), kind(rng));
    let input = any(rng, place, len, kind);
    let mut out = Mem::new(place, &vec![i16::MIN; len], i16::MIN);
    let args = WidenI8 { input: input.as_ptr(), out: out.as_mut_ptr(), len, flip };
    // SAFETY: made by the contract of `WidenI8`.
    unsafe { kernel.run(&args) };
    for (i, (&byte, &got)) in input.iter().zip(&out[..]).enumerate() {
        let byte = byte ^ flip;
        let expected = if kernels.int8.signed { i16::from(byte as i8) } else { i16::from(byte) };
        assert_eq!(got, expected, "{} {args:?}: at {i}", kernel.name);
    }
}

/// A case for every kernel that is neither a product nor a convolution.
pub fn small_kernels(rng: &mut Rng, kernels: &Kernels, place: Place) {
    requantise(rng, kernels, kernels.requantise_i8[0], place);
    quantise(rng, kernels, kernels.quantise_i8[0], place);
    widen(rng, kernels, kernels.widen_i8[0], place);
    pool(rng, kernels, kernels.pool_i8[0], false, place);
    pool(rng, kernels, kernels.pool_i8[1], true, place);
    scale_channels(rng, kernels, kernels.scale_i8[0], place);
    add(rng, kernels, kernels.add_i8[0], place);
    lookup(rng, kernels, kernels.lookup_i8[0], place);
    transpose(rng, kernels.transpose_x8[0], place);
    interleave(rng, kernels.interleave_x8, place, CANARY, |any| any as u8);
}

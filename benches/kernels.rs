//! Every kernel of every level that this CPU has, on operands that stay in L1 or L2, as a share of what the level's probes
//! reach in the same run: multiply-adds in registers for products, of f32 or of bytes, reading for what only moves data.
//!
//! `cargo bench --bench kernels -- gemm_f32_6x16` for some of them.

mod common;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use kolibri::{
    Level,
    kernels::{
        AMX_ROWS, AddI8, DW_SHAPES, DwConvF32, DwConvI8, ElementwiseF32, Function, GemmF32, GemmI8, INTERLEAVED,
        Interleave, Kernel, Kernels, LookupI8, PoolF32, PoolI8, QuantiseI8, RequantiseI8, ScaleI8, TAPS_PIXELS,
        TransposeX8, TransposeX32, WidenI8,
    },
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// More values than any kernel here touches.
const LEN: usize = 1 << 17;
const K: usize = 192;
const CHANNELS: usize = 96;
const PIXELS: usize = 28;

struct Operands {
    a: Vec<f32>,
    b: Vec<f32>,
    out: Vec<f32>,
    /// Each entry a pixel of `CHANNELS`, or a row of `K`.
    table: Vec<*const f32>,
}

fn operands() -> Operands {
    let a = vec![0.25; LEN];
    let table = (0..4096).map(|i| a[i % 256 * K..].as_ptr()).collect();
    Operands { table, a, b: vec![0.5; LEN], out: vec![0.0; LEN] }
}

struct Bench<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    /// Floating-point operations, operations on bytes, and bytes read in a second, by the probes.
    flops: f64,
    ops: f64,
    bytes: f64,
}

/// What a kernel does, to be measured against the peak.
#[derive(Clone, Copy)]
enum Work {
    Flops(usize),
    Ops(usize),
    Read(usize),
}

impl Bench<'_> {
    /// Times `kernel` and prints its share of the peak.
    fn kernel<A>(&mut self, kernel: Kernel<A>, args: &A, work: Work) {
        // SAFETY: `args` was made for the kernel by the functions below, on operands of `LEN` values.
        self.run(kernel.name, work, || unsafe { kernel.run(black_box(args)) });
    }

    fn run(&mut self, name: &str, work: Work, mut f: impl FnMut()) {
        let mut best = f64::INFINITY;
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                (0..iterations).for_each(|_| f());
                let elapsed = start.elapsed();
                best = best.min(elapsed.as_secs_f64() / iterations as f64);
                elapsed
            })
        });
        if best.is_finite() {
            let (rate, peak, unit) = match work {
                Work::Flops(flops) => (flops, self.flops, "GFLOP/s"),
                Work::Ops(ops) => (ops, self.ops, "GOP/s"),
                Work::Read(bytes) => (bytes, self.bytes, "GB/s read"),
            };
            let rate = rate as f64 / best;
            println!("{name}: {:.1} {unit}, {:.1} % of {:.1}", rate * 1e-9, 100.0 * rate / peak, peak * 1e-9);
        }
    }
}

fn all(criterion: &mut Criterion) {
    for level in Level::available() {
        let Some(kernels) = level.kernels() else { continue };
        let mut o = operands();
        let mut group = criterion.benchmark_group(level.name());
        group.warm_up_time(Duration::from_millis(30)).measurement_time(Duration::from_millis(150)).sample_size(10);
        let flops = common::peak(&kernels.probe_fma_f32[0], kernels.probe_fma_flops);
        let ops = common::peak(&kernels.probe_dot_i8[0], kernels.probe_dot_ops);
        let bytes = (4096 * 4 * 100) as f64 / common::probe(&kernels.probe_read_f32[0], &o.a[..4096], 100);
        let mut bench = Bench { group, flops, ops, bytes };
        products(kernels, &mut o, &mut bench);
        depthwise(kernels, &mut o, &mut bench);
        rest(kernels, &mut o, &mut bench);
        products_i8(kernels, &mut o, &mut bench);
        depthwise_i8(kernels, &mut o, &mut bench);
        rest_i8(kernels, &mut o, &mut bench);
    }
}

fn products(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    let lanes = kernels.lanes;
    for cols in 1..=kernels.gemm_mr.len() {
        for mr in 1..=kernels.gemm_mr[cols - 1] {
            let Some(kernel) = kernels.gemm(mr, cols) else { continue };
            let args = gemm_args(o, lanes, cols, 1, 4);
            bench.kernel(kernel, &args, Work::Flops(2 * 4 * mr * cols * lanes * K));
        }
    }
    let panels = kernels.gemv_panels;
    let args = gemm_args(o, lanes, kernels.gemm_mr.len(), panels, 1);
    bench.kernel(kernels.gemv_f32[0], &args, Work::Flops(2 * panels * kernels.nr() * K));
}

fn gemm_args(o: &mut Operands, lanes: usize, cols: usize, panels: usize, tiles: usize) -> GemmF32 {
    GemmF32 {
        rows: o.table.as_ptr(),
        offset: 0,
        taps: 1,
        run: K,
        tiles,
        b: o.b.as_ptr(),
        panel_len: (K + 1) * cols * lanes,
        ahead: false,
        panels,
        panel_columns: cols * lanes,
        c: o.out.as_mut_ptr(),
        c_stride: panels * cols * lanes,
        last: (cols - 1) * lanes,
        columns: cols * lanes,
        min: 0.0,
        max: 6.0,
    }
}

fn depthwise(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    let args = |o: &mut Operands, taps| DwConvF32 {
        rows: std::array::from_fn(|r| o.table[r * 100..].as_ptr()),
        taps,
        width: PIXELS,
        offset: 0,
        channels: CHANNELS,
        w: o.b.as_ptr(),
        out: o.out.as_mut_ptr(),
        out_stride: CHANNELS,
        out_row_stride: PIXELS * CHANNELS,
        min: 0.0,
        max: 6.0,
    };
    for (k, s) in DW_SHAPES {
        for (rows, pixels) in
            (1..=kernels.dw_rows).flat_map(|rows| (0..kernels.dw_pixels.len()).map(move |i| (rows, i)))
        {
            let Some(kernel) = kernels.dwconv(k, s, rows, pixels) else { continue };
            bench.kernel(kernel, &args(o, k * k), Work::Flops(2 * rows * PIXELS * CHANNELS * k * k));
        }
    }
    for (kernel, _) in kernels.dwconv_taps_f32.iter().zip(TAPS_PIXELS) {
        bench.kernel(*kernel, &args(o, 9), Work::Flops(2 * PIXELS * CHANNELS * 9));
    }
}

fn rest(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    for kernel in kernels.pool_f32 {
        let args = PoolF32 {
            input: o.a.as_ptr(),
            rows: 3,
            cols: 3,
            row_stride: 14 * CHANNELS,
            col_stride: CHANNELS,
            channels: CHANNELS,
            divisor: 9.0,
            out: o.out.as_mut_ptr(),
        };
        bench.kernel(*kernel, &args, Work::Read(9 * CHANNELS * 4));
    }
    let elementwise = |o: &mut Operands, b_stride, function| ElementwiseF32 {
        a: o.a.as_ptr(),
        a_stride: CHANNELS,
        b: o.b.as_ptr(),
        b_stride,
        out: o.out.as_mut_ptr(),
        out_stride: CHANNELS,
        rows: 14,
        len: CHANNELS,
        function,
        min: 0.0,
        max: 6.0,
    };
    // The second operand of the product is the factors of channels.
    for (kernel, operands) in kernels.elementwise_f32.iter().zip([2, 1, 1]) {
        let b_stride = (operands - 1) * CHANNELS;
        let args = elementwise(o, b_stride, Function::Clamp);
        bench.kernel(*kernel, &args, Work::Read(operands * 14 * CHANNELS * 4));
    }
    let (sigmoid, kernel) = (elementwise(o, 0, Function::Sigmoid), kernels.elementwise_f32[1]);
    let name = format!("{}, sigmoid", kernel.name);
    // SAFETY: as in `Bench::kernel`.
    bench.run(&name, Work::Read(14 * CHANNELS * 4), || unsafe { kernel.run(black_box(&sigmoid)) });
    let args = TransposeX32 {
        src: o.a.as_ptr(),
        src_stride: CHANNELS,
        dst: o.out.as_mut_ptr(),
        dst_stride: 64,
        rows: 64,
        cols: CHANNELS,
    };
    bench.kernel(kernels.transpose_x32[0], &args, Work::Read(64 * CHANNELS * 4));
    interleave(kernels.interleave_x32, o.a.as_ptr(), o.out.as_mut_ptr(), bench);
}

fn products_i8(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    let lanes = kernels.int8.lanes;
    for cols in 1..=kernels.int8.mr.len() {
        for mr in 1..=kernels.int8.mr[cols - 1] {
            let Some(kernel) = kernels.gemm_i8(mr, cols) else { continue };
            bench.kernel(kernel, &gemm_i8_args(kernels, o, cols, 4), Work::Ops(2 * 4 * mr * cols * lanes * K));
        }
    }
    for (cols, kernel) in (1..).zip(kernels.gemm_i8_amx) {
        let rows = 4 * AMX_ROWS;
        bench.kernel(*kernel, &gemm_i8_args(kernels, o, cols, rows), Work::Ops(2 * rows * cols * lanes * K));
    }
}

fn gemm_i8_args(kernels: &Kernels, o: &mut Operands, cols: usize, tiles: usize) -> GemmI8 {
    let (int8, columns) = (&kernels.int8, cols * kernels.int8.lanes);
    let k = K * int8.element;
    GemmI8 {
        a: o.a.as_ptr().cast(),
        a_stride: k,
        k,
        tiles,
        b: o.b.as_ptr().cast(), // scales of 0.5 among them
        panel_len: (k + 8) * columns,
        ahead: false,
        panels: 1,
        panel_columns: columns,
        c: o.out.as_mut_ptr().cast(),
        c_stride: columns,
        sums: std::ptr::null_mut(),
        sums_stride: 0,
        last: columns - int8.lanes,
        columns,
        zero_point: 3,
        min: 0,
        max: 255,
        flip: 0x80,
    }
}

fn depthwise_i8(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    let mut units = vec![0; 64 << 10];
    for dw in kernels.dw_i8 {
        let channels = CHANNELS / dw.channels() * dw.channels();
        let mut args = |o: &mut Operands, taps, outputs| DwConvI8 {
            rows: std::array::from_fn(|r| o.table[r * 100..].as_ptr().cast()),
            taps,
            width: PIXELS,
            offset: 0,
            channels,
            w: o.b.as_ptr().cast(),
            out: o.out.as_mut_ptr().cast(),
            out_stride: channels,
            outputs,
            out_row_stride: PIXELS * channels,
            units: units.as_mut_ptr(),
            sums: std::ptr::null_mut(),
            sums_stride: 0,
            zero_point: 3,
            min: 0,
            max: 255,
            flip_in: 0x80,
            flip: 0x80,
        };
        for (k, s) in DW_SHAPES {
            for pixels in 0..dw.pixels.len() {
                let Some(kernel) = dw.dwconv(k, s, pixels) else { continue };
                let outputs = dw.outputs(k, s);
                bench.kernel(kernel, &args(o, k * k, outputs), Work::Ops(2 * outputs * PIXELS * channels * k * k));
            }
        }
        let taps = 9usize.next_multiple_of(dw.int8.values());
        bench.kernel(dw.dwconv_i8_taps[0], &args(o, taps, 1), Work::Ops(2 * PIXELS * channels * 9));
    }
}

fn rest_i8(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    let (a, b, out) = (o.a.as_ptr().cast::<u8>(), o.b.as_ptr().cast::<u8>(), o.out.as_mut_ptr().cast::<u8>());
    let args = RequantiseI8 {
        sums: a.cast(),
        sums_stride: CHANNELS,
        scales: b.cast(),
        residual: b,
        residual_stride: CHANNELS,
        residual_zero: 3,
        residual_scale: 0.5,
        out,
        out_stride: CHANNELS,
        rows: 14,
        len: CHANNELS,
        zero_point: 3,
        min: 0,
        max: 255,
        flip: 0x80,
    };
    bench.kernel(kernels.requantise_i8[0], &args, Work::Read(14 * CHANNELS * 5));
    let args = QuantiseI8 {
        x: a.cast(),
        x_stride: 0,
        out,
        out_stride: 0,
        rows: 1,
        len: 14 * CHANNELS,
        scale: 0.5,
        zero_point: 3,
        min: 0,
        max: 255,
        flip: 0,
    };
    bench.kernel(kernels.quantise_i8[0], &args, Work::Read(14 * CHANNELS * 4));
    let args = ScaleI8 {
        x: a,
        x_stride: CHANNELS,
        zero: 3,
        factors: b.cast(),
        scale: 0.5,
        out,
        out_stride: CHANNELS,
        rows: 14,
        len: CHANNELS,
        zero_point: 3,
        min: 0,
        max: 255,
        flip: 0x80,
    };
    bench.kernel(kernels.scale_i8[0], &args, Work::Read(14 * CHANNELS));
    let args = WidenI8 { input: a, out: out.cast(), len: 14 * CHANNELS, flip: 0 };
    bench.kernel(kernels.widen_i8[0], &args, Work::Read(14 * CHANNELS));
    for kernel in kernels.pool_i8 {
        let args = PoolI8 {
            input: a,
            rows: 7,
            cols: 7,
            row_stride: 7 * CHANNELS,
            col_stride: CHANNELS,
            channels: CHANNELS,
            start: 0,
            sums: out.cast(),
            out,
            min: 0,
            max: 255,
            flip: 0x80,
        };
        bench.kernel(*kernel, &args, Work::Read(7 * 7 * CHANNELS));
    }
    let args = AddI8 {
        a,
        a_stride: CHANNELS,
        b,
        b_stride: CHANNELS,
        out,
        out_stride: CHANNELS,
        rows: 14,
        len: CHANNELS,
        a_multiplier: 1 << 20,
        b_multiplier: 1 << 19,
        bias: 1 << 19,
        shift: 20,
        zero_point: 3,
        min: 0,
        max: 255,
        flip: 0x80,
    };
    bench.kernel(kernels.add_i8[0], &args, Work::Read(2 * 14 * CHANNELS));
    let args = LookupI8 { table: b, x: a, x_stride: 0, out, out_stride: 0, rows: 1, len: 14 * CHANNELS };
    bench.kernel(kernels.lookup_i8[0], &args, Work::Read(14 * CHANNELS));
    let args = TransposeX8 { src: a, src_stride: CHANNELS, dst: out, dst_stride: 64, rows: 64, cols: CHANNELS };
    bench.kernel(kernels.transpose_x8[0], &args, Work::Read(64 * CHANNELS));
    interleave(kernels.interleave_x8, a, out, bench);
}

fn interleave<T>(kernels: &[Kernel<Interleave<T>>], x: *const T, y: *mut T, bench: &mut Bench<'_>) {
    for (kernel, groups) in kernels.iter().zip(INTERLEAVED) {
        let (x_stride, y_stride, pixels, each) = (CHANNELS, CHANNELS, 14, CHANNELS / groups);
        let args = Interleave { x, x_stride, y, y_stride, pixels, each };
        bench.kernel(*kernel, &args, Work::Read(pixels * CHANNELS * size_of::<T>()));
    }
}

criterion_group!(benches, all);
criterion_main!(benches);

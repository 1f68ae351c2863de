//! Every kernel of every level that this CPU has, on operands that stay in L1 or L2, as a share of what the level's probes
//! reach in the same run: multiply-adds in registers for products, reading for what only moves data. Beside them, what
//! one would write with `pulp` in place of `gemm_f32`.
//!
//! `cargo bench --bench kernels -- gemm_f32_6x16` for some of them.

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use kolibri::{
    Level,
    kernels::{
        DW_SHAPES, DwConvF32, ElementwiseF32, GemmF32, Kernel, Kernels, PoolF32, Probe, TAPS_PIXELS, TransposeX32,
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
    /// Floating-point operations and bytes a second, by the probes.
    flops: f64,
    bytes: f64,
}

impl Bench<'_> {
    /// Times `kernel` and prints its share of the peak: of `flops`, or of `bytes` where there are none.
    fn kernel<A>(&mut self, kernel: Kernel<A>, args: &A, flops: usize, bytes: usize) {
        // SAFETY: `args` was made for the kernel by the functions below, on operands of `LEN` values.
        self.run(kernel.name, flops, bytes, || unsafe { kernel.run(black_box(args)) });
    }

    fn run(&mut self, name: &str, flops: usize, bytes: usize, mut f: impl FnMut()) {
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
            let (rate, peak, unit) =
                if flops > 0 { (flops, self.flops, "GFLOP/s") } else { (bytes, self.bytes, "GB/s read") };
            let rate = rate as f64 / best;
            println!("{name}: {:.1} {unit}, {:.1} % of {:.1}", rate * 1e-9, 100.0 * rate / peak, peak * 1e-9);
        }
    }
}

/// The least time of a probe of `turns`.
fn probe(kernel: &Kernel<Probe>, data: &[f32], turns: usize) -> f64 {
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

fn all(criterion: &mut Criterion) {
    for level in Level::available() {
        let Some(kernels) = level.kernels() else { continue };
        let mut o = operands();
        let mut group = criterion.benchmark_group(level.name());
        group.warm_up_time(Duration::from_millis(30)).measurement_time(Duration::from_millis(150)).sample_size(10);
        let flops = (20_000 * kernels.probe_fma_flops) as f64 / probe(&kernels.probe_fma_f32[0], &o.a[..4096], 20_000);
        let bytes = (4096 * 4 * 100) as f64 / probe(&kernels.probe_read_f32[0], &o.a[..4096], 100);
        let mut bench = Bench { group, flops, bytes };
        products(kernels, &mut o, &mut bench);
        depthwise(kernels, &mut o, &mut bench);
        rest(kernels, &mut o, &mut bench);
        pulp_product(&mut o, &mut bench);
    }
}

fn products(kernels: &Kernels, o: &mut Operands, bench: &mut Bench<'_>) {
    let lanes = kernels.lanes;
    for cols in 1..=kernels.gemm_mr.len() {
        for mr in 1..=kernels.gemm_mr[cols - 1] {
            let Some(kernel) = kernels.gemm(mr, cols) else { continue };
            let args = gemm_args(o, lanes, cols, 1, 4);
            bench.kernel(kernel, &args, 2 * 4 * mr * cols * lanes * K, 0);
        }
    }
    let panels = kernels.gemv_panels;
    let args = gemm_args(o, lanes, kernels.gemm_mr.len(), panels, 1);
    bench.kernel(kernels.gemv_f32[0], &args, 2 * panels * kernels.nr() * K, 0);
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
        channels: CHANNELS,
        w: o.b.as_ptr(),
        out: o.out.as_mut_ptr(),
        out_stride: CHANNELS,
        min: 0.0,
        max: 6.0,
    };
    for (k, s) in DW_SHAPES {
        for pixels in 0..kernels.dw_pixels.len() {
            let Some(kernel) = kernels.dwconv(k, s, pixels) else { continue };
            bench.kernel(kernel, &args(o, k * k), 2 * PIXELS * CHANNELS * k * k, 0);
        }
    }
    for (kernel, _) in kernels.dwconv_taps_f32.iter().zip(TAPS_PIXELS) {
        bench.kernel(*kernel, &args(o, 9), 2 * PIXELS * CHANNELS * 9, 0);
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
        bench.kernel(*kernel, &args, 0, 9 * CHANNELS * 4);
    }
    for kernel in kernels.elementwise_f32 {
        let args = ElementwiseF32 {
            a: o.a.as_ptr(),
            a_stride: CHANNELS,
            b: o.b.as_ptr(),
            b_stride: CHANNELS,
            out: o.out.as_mut_ptr(),
            out_stride: CHANNELS,
            rows: 14,
            len: CHANNELS,
            hard_swish: false,
            min: 0.0,
            max: 6.0,
        };
        let operands = if kernel.name.starts_with("add") { 2 } else { 1 };
        bench.kernel(*kernel, &args, 0, operands * 14 * CHANNELS * 4);
    }
    let args = TransposeX32 {
        src: o.a.as_ptr(),
        src_stride: CHANNELS,
        dst: o.out.as_mut_ptr(),
        dst_stride: 64,
        rows: 64,
        cols: CHANNELS,
    };
    bench.kernel(kernels.transpose_x32[0], &args, 0, 64 * CHANNELS * 4);
}

/// `C[6 x 64] = A[6 x K] * B[K x 64]` as a loop of `mul_add` over slices.
struct PulpProduct<'a> {
    a: &'a [f32],
    b: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::WithSimd for PulpProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        for (row, out) in self.a.chunks_exact(K).take(6).zip(self.out.chunks_exact_mut(64)) {
            let (out, _) = S::as_mut_simd_f32s(out);
            for (x, b) in row.iter().zip(self.b.chunks_exact(64)) {
                let (x, (b, _)) = (simd.splat_f32s(*x), S::as_simd_f32s(b));
                for (out, b) in out.iter_mut().zip(b) {
                    *out = simd.mul_add_f32s(x, *b, *out);
                }
            }
        }
    }
}

fn pulp_product(o: &mut Operands, bench: &mut Bench<'_>) {
    let arch = pulp::Arch::new();
    bench.run("pulp, 6x64", 2 * 6 * 64 * K, 0, || {
        arch.dispatch(PulpProduct { a: &o.a, b: &o.b, out: black_box(&mut o.out) });
    });
}

criterion_group!(benches, all);
criterion_main!(benches);

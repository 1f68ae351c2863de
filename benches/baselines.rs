//! The pointwise and depthwise layers of MobileNet v1 and v2 by Kolibri and by what one would take or write in its place,
//! f32 with bias and ReLU6, one thread, as a share of the peak of the selected level, which is measured before each shape:
//!
//! - pointwise by the crates `gemm` and `matrixmultiply`, with a pass for bias and activation behind the product. Both
//!   get the weights as `[cin][cout]`, which was faster than `[cout][cin]`, and pack them in each call;
//! - pointwise by the register-blocked product below, once over `pulp` and once over `wide`: tiles of 6 or 14 rows and two
//!   registers of columns, weights packed beforehand into panels as wide as a tile;
//! - depthwise by the loop below over the same two crates: the nine weights of a register of channels stay in registers
//!   along a row. The image has its border already, for Kolibri too.
//!
//! `gemm`, `matrixmultiply` and `pulp` take the best instructions that the CPU has, whatever level Kolibri is told to use.
//! `wide` takes those that the compiler is told of: SSE2 without FMA, if nothing is said; with
//! `RUSTFLAGS=-Ctarget-cpu=native` it has those of the CPU.
//!
//! Each engine must give Kolibri's values, up to the rounding of another order of sums. Engines take turns: a round runs
//! each of them twice and times the second, which finds the caches as its engine leaves them. Criterion says how many
//! rounds; what is printed at the end of a shape are medians of all of them.
//!
//! `cargo bench --bench baselines -- 14x14x512` for some shapes.

mod common;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use kolibri::{Activation, Conv2d, ConvGeometry, Image, ImageMut, Level, Serial, Weights, Workspace};
use pulp::bytemuck::Pod;
use std::time::{Duration, Instant};

/// Pixels along a side, channels in and out.
const POINTWISE: [[usize; 3]; 10] = [
    [112, 32, 64],
    [56, 128, 128],
    [28, 256, 256],
    [14, 512, 512],
    [7, 1024, 1024],
    [56, 24, 144],
    [14, 96, 576],
    [14, 576, 96],
    [7, 160, 960],
    [7, 320, 1280],
];
/// Pixels along a side of the input without its border, channels, stride.
const DEPTHWISE: [[usize; 3]; 4] = [[112, 32, 1], [56, 128, 1], [56, 144, 2], [14, 512, 1]];

/// What the kernels below need of `pulp` and of `wide`.
trait Lanes: Copy {
    type V: Pod;
    const LANES: usize = size_of::<Self::V>() / size_of::<f32>();
    const REGISTERS: usize;
    /// Rows of a tile: with two sums each, and a register for their factor and two for those of the columns.
    const ROWS: usize = if Self::REGISTERS < 32 { 6 } else { 14 };

    fn splat(self, value: f32) -> Self::V;
    fn mul_add(self, a: Self::V, b: Self::V, sum: Self::V) -> Self::V;
    fn relu6(self, v: Self::V) -> Self::V;

    /// # Safety
    /// `x` has a register of values at `at`.
    #[inline(always)]
    unsafe fn load(self, x: &[f32], at: usize) -> Self::V {
        debug_assert!(at + Self::LANES <= x.len());
        // SAFETY: the values are there, and any are a `V`.
        unsafe { x.as_ptr().add(at).cast::<Self::V>().read_unaligned() }
    }

    /// # Safety
    /// `y` has a register of values at `at`.
    #[inline(always)]
    unsafe fn store(self, v: Self::V, y: &mut [f32], at: usize) {
        debug_assert!(at + Self::LANES <= y.len());
        // SAFETY: the place is there.
        unsafe { y.as_mut_ptr().add(at).cast::<Self::V>().write_unaligned(v) }
    }
}

#[derive(Clone, Copy)]
struct Pulp<S>(S);

impl<S: pulp::Simd> Lanes for Pulp<S> {
    type V = S::f32s;
    const REGISTERS: usize = S::REGISTER_COUNT;

    #[inline(always)]
    fn splat(self, value: f32) -> S::f32s {
        self.0.splat_f32s(value)
    }
    #[inline(always)]
    fn mul_add(self, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        self.0.mul_add_f32s(a, b, sum)
    }
    #[inline(always)]
    fn relu6(self, v: S::f32s) -> S::f32s {
        self.0.min_f32s(self.0.max_f32s(v, self.splat(0.0)), self.splat(6.0))
    }
}

/// The widest that is one register.
#[cfg(target_feature = "avx")]
type WideV = wide::f32x8;
#[cfg(not(target_feature = "avx"))]
type WideV = wide::f32x4;

#[derive(Clone, Copy)]
struct Wide;

impl Lanes for Wide {
    type V = WideV;
    const REGISTERS: usize = if cfg!(any(target_feature = "avx512f", target_arch = "aarch64")) { 32 } else { 16 };

    #[inline(always)]
    fn splat(self, value: f32) -> WideV {
        WideV::splat(value)
    }
    #[inline(always)]
    fn mul_add(self, a: WideV, b: WideV, sum: WideV) -> WideV {
        a.mul_add(b, sum)
    }
    #[inline(always)]
    fn relu6(self, v: WideV) -> WideV {
        v.fast_max(self.splat(0.0)).fast_min(self.splat(6.0))
    }
}

/// What a layer computes with. Its weights lie as [`panels`] has them, or as `[3][3][channels]`.
#[derive(Clone, Copy)]
struct Layer<'a> {
    x: &'a [f32],
    w: &'a [f32],
    bias: &'a [f32],
    /// Of the depthwise ones: pixels along a side of the input, and of the output.
    sides: [usize; 2],
    stride: usize,
}

/// One tile: `M` rows of `x`, each `cin` long, and `R` registers of columns.
///
/// # Safety
/// `x` has the rows, `panel` the columns of `cin` rows, `bias` one row of them, `y` `M` rows of them `cout` apart.
#[inline(always)]
unsafe fn tile<L: Lanes, const M: usize, const R: usize>(
    l: L,
    [cin, cout]: [usize; 2],
    [x, panel, bias]: [&[f32]; 3],
    y: &mut [f32],
) {
    let mut sums = [[l.splat(0.0); R]; M];
    for sums in &mut sums {
        for (r, sum) in sums.iter_mut().enumerate() {
            // SAFETY: by the caller.
            *sum = unsafe { l.load(bias, r * L::LANES) };
        }
    }
    for k in 0..cin {
        let mut b = [l.splat(0.0); R];
        for (r, b) in b.iter_mut().enumerate() {
            // SAFETY: by the caller.
            *b = unsafe { l.load(panel, (k * R + r) * L::LANES) };
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: by the caller.
            let a = l.splat(unsafe { *x.get_unchecked(i * cin + k) });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = l.mul_add(a, b, *sum);
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        for (r, sum) in sums.into_iter().enumerate() {
            // SAFETY: by the caller.
            unsafe { l.store(l.relu6(sum), y, i * cout + r * L::LANES) };
        }
    }
}

/// A panel after the other, its rows in tiles that differ by one row at most.
#[inline(always)]
fn pointwise<L: Lanes>(l: L, layer: Layer<'_>, y: &mut [f32]) {
    let cout = layer.bias.len();
    let cin = layer.w.len() / cout;
    let pixels = layer.x.len() / cin;
    assert!(y.len() == pixels * cout && cout % L::LANES == 0);
    let tiles = pixels.div_ceil(L::ROWS);
    for column in (0..cout).step_by(2 * L::LANES) {
        let registers = (cout - column).min(2 * L::LANES) / L::LANES;
        for i in 0..tiles {
            let [row, end] = [i, i + 1].map(|i| i * pixels / tiles);
            let operands = [&layer.x[row * cin..], &layer.w[column * cin..], &layer.bias[column..]];
            let y = &mut y[row * cout + column..];
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    match (end - row, registers) {
                        // SAFETY: the rows and columns are there, by the assertion.
                        $(($rows, 2) => unsafe { tile::<L, $rows, 2>(l, [cin, cout], operands, y) },
                        // SAFETY: as above.
                        ($rows, _) => unsafe { tile::<L, $rows, 1>(l, [cin, cout], operands, y) },)*
                        _ => unreachable!("no shape of the table has such a tile"),
                    }
                };
            }
            tiles!(5 6 12 13 14);
        }
    }
}

/// 3x3: one register of channels after the other along each row of the output.
#[inline(always)]
fn depthwise<L: Lanes>(l: L, layer: Layer<'_>, y: &mut [f32]) {
    let (channels, [side, out], stride) = (layer.bias.len(), layer.sides, layer.stride);
    assert!(layer.x.len() == side * side * channels && layer.w.len() == 9 * channels && channels % L::LANES == 0);
    assert!(y.len() == out * out * channels && (out - 1) * stride + 3 <= side);
    for row in 0..out {
        for c in (0..channels).step_by(L::LANES) {
            let mut w = [l.splat(0.0); 9];
            for (i, w) in w.iter_mut().enumerate() {
                // SAFETY: there are nine times `channels`.
                *w = unsafe { l.load(layer.w, i * channels + c) };
            }
            // SAFETY: there are as many as channels.
            let bias = unsafe { l.load(layer.bias, c) };
            for column in 0..out {
                let (mut sum, first) = (bias, row * stride * side + column * stride);
                for (i, w) in w.into_iter().enumerate() {
                    // SAFETY: the window is within the image, by the assertions.
                    let x = unsafe { l.load(layer.x, (first + i / 3 * side + i % 3) * channels + c) };
                    sum = l.mul_add(x, w, sum);
                }
                // SAFETY: a pixel of the output.
                unsafe { l.store(l.relu6(sum), y, (row * out + column) * channels + c) };
            }
        }
    }
}

/// A kernel on what `pulp` finds.
struct Dispatch<'a> {
    layer: Layer<'a>,
    depthwise: bool,
    y: &'a mut [f32],
}

impl pulp::WithSimd for Dispatch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        match self.depthwise {
            true => depthwise(Pulp(simd), self.layer, self.y),
            false => pointwise(Pulp(simd), self.layer, self.y),
        }
    }
}

/// How many lanes `pulp` has.
struct PulpLanes;

impl pulp::WithSimd for PulpLanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// `w[cin][cout]` in panels of `columns`, the last of what is left.
fn panels(w: &[f32], cout: usize, columns: usize) -> Vec<f32> {
    let panel = |from: usize| w.chunks(cout).flat_map(move |row| &row[from..cout.min(from + columns)]);
    (0..cout).step_by(columns).flat_map(panel).copied().collect()
}

/// What follows a product of the crates.
fn bias_relu6(bias: &[f32], y: &mut [f32]) {
    for row in y.chunks_exact_mut(bias.len()) {
        for (y, bias) in row.iter_mut().zip(bias) {
            *y = (*y + bias).clamp(0.0, 6.0);
        }
    }
}

/// Values from -1 to 1 times `scale`.
fn values(len: usize, scale: f32) -> Vec<f32> {
    (0..len as u32).map(|i| ((i.wrapping_mul(0x9e37_79b9) >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale).collect()
}

/// A name, and what writes the layer's output.
type Engine<'a> = (&'static str, &'a mut dyn FnMut(&mut [f32]));

/// The engines in turns; the first is Kolibri.
fn compare(
    group: &mut BenchmarkGroup<'_, WallTime>,
    shape: &str,
    flops: usize,
    len: usize,
    engines: &mut [Engine<'_>],
) {
    let kernels = Level::selected().expect("KOLIBRI_ISA names known levels");
    let peak = common::peak(&kernels.probe_fma_f32[0], kernels.probe_fma_flops);
    let [mut expected, mut y] = [(); 2].map(|_| vec![f32::NAN; len]);
    engines[0].1(&mut expected);
    for (name, run) in &mut *engines {
        y.fill(f32::NAN);
        run(&mut y);
        let wrong = y.iter().zip(&expected).position(|(y, e)| !((y - e).abs() <= 1e-5 * e.abs().max(1.0)));
        assert_eq!(wrong, None, "the first value of {name}, {shape}, that is not Kolibri's");
    }
    let mut times = vec![Vec::new(); engines.len()];
    for engine in 0..engines.len() {
        group.bench_function(format!("{shape}/{}", engines[engine].0), |bencher| {
            bencher.iter_custom(|rounds| {
                let before = times[engine].len();
                for _ in 0..rounds {
                    for ((_, run), times) in engines.iter_mut().zip(&mut times) {
                        run(&mut y);
                        let start = Instant::now();
                        run(&mut y);
                        times.push(start.elapsed());
                    }
                }
                times[engine][before..].iter().sum()
            })
        });
    }
    if times[0].is_empty() {
        return;
    }
    let medians: Vec<f64> = times
        .iter_mut()
        .map(|times| {
            times.sort();
            times[times.len() / 2].as_secs_f64()
        })
        .collect();
    for ((name, _), median) in engines.iter().zip(&medians) {
        let rate = flops as f64 / median;
        println!("{shape} {name}: {:.1} GFLOP/s, {:.1} % of {:.1}", rate * 1e-9, 100.0 * rate / peak, peak * 1e-9);
    }
    let others = engines[1..].iter().zip(&medians[1..]);
    let ((best, _), median) = others.min_by(|a, b| a.1.total_cmp(b.1)).expect("there are others");
    println!("{shape}: Kolibri is {:.2} times as fast as the best other, {best}", median / medians[0]);
}

/// A layer of square images by Kolibri.
fn kolibri<'a>(
    geometry: &ConvGeometry,
    [input, output]: [usize; 2],
    [x, bias]: [&'a [f32]; 2],
    weights: Weights<'_>,
) -> impl FnMut(&mut [f32]) + 'a {
    let (cin, cout) = (geometry.cin, geometry.cout);
    let conv = Conv2d::f32(geometry, weights, Some(bias), Activation::Relu6).expect("valid");
    let mut workspace = Workspace::new(conv.workspace_len([1, input, input], 1).expect("valid")).expect("memory");
    let x = Image::nhwc(x, 1, input, input, cin).expect("dense");
    move |y| {
        let y = ImageMut::nhwc(y, 1, output, output, cout).expect("dense");
        conv.run(x, None, y, &mut workspace, &Serial).expect("valid");
    }
}

fn bench_pointwise(group: &mut BenchmarkGroup<'_, WallTime>, [side, cin, cout]: [usize; 3]) {
    let (m, k, n) = (side * side, cin, cout);
    let (x, w, bias) = (values(m * k, 1.0), values(k * n, 4.0 / (k as f32).sqrt()), values(n, 1.0));
    let oihw: Vec<f32> = (0..n * k).map(|i| w[i % k * n + i / k]).collect();
    let mut kolibri = kolibri(&ConvGeometry::new(cin, cout, [1, 1]), [side; 2], [&x, &bias], Weights::oihw(&oihw));
    // From a row to the next.
    let [xr, wr, yr] = [k as isize, n as isize, n as isize];
    let mut gemm = |y: &mut [f32]| {
        let (x, w, one) = (x.as_ptr(), w.as_ptr(), gemm::Parallelism::None);
        // SAFETY: dense matrices of these sizes.
        unsafe {
            gemm::gemm(m, n, k, y.as_mut_ptr(), 1, yr, false, x, 1, xr, w, 1, wr, 0.0, 1.0, false, false, false, one)
        };
        bias_relu6(&bias, y);
    };
    let mut matrixmultiply = |y: &mut [f32]| {
        // SAFETY: dense matrices of these sizes.
        unsafe {
            matrixmultiply::sgemm(m, k, n, 1.0, x.as_ptr(), xr, 1, w.as_ptr(), wr, 1, 0.0, y.as_mut_ptr(), yr, 1)
        };
        bias_relu6(&bias, y);
    };
    let arch = pulp::Arch::new();
    let [pulp_w, wide_w] = [arch.dispatch(PulpLanes), Wide::LANES].map(|lanes| panels(&w, n, 2 * lanes));
    let layer = |w| Layer { x: &x, w, bias: &bias, sides: [side; 2], stride: 1 };
    let mut pulp = |y: &mut [f32]| arch.dispatch(Dispatch { layer: layer(&pulp_w), depthwise: false, y });
    let mut wide = |y: &mut [f32]| pointwise(Wide, layer(&wide_w), y);
    compare(
        group,
        &format!("1x1 {side}x{side}x{cin}->{cout}"),
        2 * m * k * n,
        m * n,
        &mut [
            ("kolibri", &mut kolibri),
            ("gemm", &mut gemm),
            ("matrixmultiply", &mut matrixmultiply),
            ("pulp", &mut pulp),
            ("wide", &mut wide),
        ],
    );
}

fn bench_depthwise(group: &mut BenchmarkGroup<'_, WallTime>, [side, channels, stride]: [usize; 3]) {
    let out = side / stride;
    // With as much of the border as the windows reach.
    let sides @ [input, _] = [(out - 1) * stride + 3, out];
    let (x, w, bias) = (values(input * input * channels, 1.0), values(9 * channels, 2.0), values(channels, 1.0));
    let geometry = ConvGeometry::new(channels, channels, [3, 3]).stride([stride; 2]).groups(channels);
    let mut kolibri = kolibri(&geometry, sides, [&x, &bias], Weights::hwc(&w));
    let layer = Layer { x: &x, w: &w, bias: &bias, sides, stride };
    let arch = pulp::Arch::new();
    let mut pulp = |y: &mut [f32]| arch.dispatch(Dispatch { layer, depthwise: true, y });
    let mut wide = |y: &mut [f32]| depthwise(Wide, layer, y);
    let (shape, len) = (format!("3x3 {side}x{side}x{channels} s{stride}"), out * out * channels);
    compare(
        group,
        &shape,
        2 * 9 * len,
        len,
        &mut [("kolibri", &mut kolibri), ("pulp", &mut pulp), ("wide", &mut wide)],
    );
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("baselines");
    group.warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(100)).sample_size(10);
    POINTWISE.into_iter().for_each(|shape| bench_pointwise(&mut group, shape));
    DEPTHWISE.into_iter().for_each(|shape| bench_depthwise(&mut group, shape));
}

criterion_group!(benches, all);
criterion_main!(benches);

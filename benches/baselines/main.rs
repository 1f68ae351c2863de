//! The pointwise and depthwise layers of MobileNet v1 and v2 by Kolibri and by what one would take or write in its
//! place: f32 with bias and ReLU6, one thread, as a share of the multiply-add peak of the selected level in the same run.
//!
//! - Pointwise by the crates `gemm` and `matrixmultiply`, with a pass for bias and activation behind the product. Both
//!   get the weights as `[cin][cout]`, on the whole faster than `[cout][cin]`, and pack them in each call.
//! - Pointwise by a register-blocked product, over `pulp` and over `wide`: two registers of columns by 6 rows, or
//!   14 where there are 32 registers, weights packed beforehand into panels as wide as a tile.
//! - Depthwise by a loop over the same two: the nine weights of a register of channels stay in registers for 4
//!   pixels, for 7, or for a whole row. The image has its border already, for Kolibri too.
//!
//! `gemm`, `matrixmultiply` and `pulp` take the best instructions that the CPU has, whatever level Kolibri is told to use.
//! `wide` takes those that the compiler is told of, SSE2 without FMA unless `RUSTFLAGS=-Ctarget-cpu=native` is set.
//!
//! Each must give Kolibri's values, but for the rounding of another order of sums. They take turns: a round runs each
//! twice and times the second, which finds the caches as the first left them. Criterion says how many rounds; at the end
//! of a shape is printed the least time of all.
//!
//! `cargo bench --bench baselines -- 14x14x512` for some shapes.

#[path = "../common/mod.rs"]
mod common;
mod kernels;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use kernels::{Depthwise, Dispatch, Lanes, Layer, PulpLanes, Wide, depthwise, panels, pointwise};
use kolibri::{Activation, Conv2d, ConvGeometry, Image, ImageMut, Level, Serial, Weights, Workspace};
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
type Engine<'a> = (String, Box<dyn FnMut(&mut [f32]) + 'a>);

fn engine<'a>(name: &str, run: impl FnMut(&mut [f32]) + 'a) -> Engine<'a> {
    (name.into(), Box::new(run))
}

/// The engines in turns; the first is Kolibri. The output has `len` values.
fn compare(group: &mut BenchmarkGroup<'_, WallTime>, shape: &str, flops: usize, len: usize, mut engines: Vec<Engine>) {
    let kernels = Level::selected().expect("KOLIBRI_ISA names known levels");
    let [mut expected, mut y] = [(); 2].map(|_| vec![f32::NAN; len]);
    engines[0].1(&mut expected);
    for (name, run) in &mut engines {
        y.fill(f32::NAN);
        run(&mut y);
        let close = |(y, e): (&f32, &f32)| (y - e).abs() <= 1e-5 * e.abs().max(1.0);
        assert!(y.iter().zip(&expected).all(close), "{shape}: {name} gives other values than Kolibri");
    }
    let (mut peak, mut least) = (0.0f64, vec![Duration::MAX; engines.len()]);
    for i in 0..engines.len() {
        group.bench_function(format!("{shape}/{}", engines[i].0), |bencher| {
            peak = peak.max(common::peak(&kernels.probe_fma_f32[0], kernels.probe_fma_flops));
            bencher.iter_custom(|rounds| {
                let mut sum = Duration::ZERO;
                for _ in 0..rounds {
                    for (j, (_, run)) in engines.iter_mut().enumerate() {
                        run(&mut y);
                        let start = Instant::now();
                        run(&mut y);
                        let time = start.elapsed();
                        least[j] = least[j].min(time);
                        sum += if i == j { time } else { Duration::ZERO };
                    }
                }
                sum
            })
        });
    }
    // None were measured where criterion was asked for other shapes.
    for ((name, _), least) in engines.iter().zip(&least).filter(|_| peak > 0.0) {
        let rate = flops as f64 / least.as_secs_f64();
        println!("{shape} {name}: {:.1} GFLOP/s, {:.1} % of {:.1}", rate * 1e-9, 100.0 * rate / peak, peak * 1e-9);
    }
    if let Some(best) = (1..engines.len()).filter(|_| peak > 0.0).min_by_key(|&i| least[i]) {
        let ratio = least[best].as_secs_f64() / least[0].as_secs_f64();
        println!("{shape}: Kolibri is {ratio:.2} times as fast as the best other, {}", engines[best].0);
    }
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

fn bench_pointwise(group: &mut BenchmarkGroup<'_, WallTime>, [side, k, n]: [usize; 3]) {
    let m = side * side;
    let (x, w, bias) = (values(m * k, 1.0), values(k * n, 4.0 / (k as f32).sqrt()), values(n, 1.0));
    let (x, w, bias) = (&x[..], &w[..], &bias[..]);
    let oihw: Vec<f32> = (0..n * k).map(|i| w[i % k * n + i / k]).collect();
    let kolibri = kolibri(&ConvGeometry::new(k, n, [1, 1]), [side; 2], [x, bias], Weights::oihw(&oihw));
    // From a row to the next.
    let [xs, ys] = [k as isize, n as isize];
    let gemm = |y: &mut [f32]| {
        let (c, x, w, serial) = (y.as_mut_ptr(), x.as_ptr(), w.as_ptr(), gemm::Parallelism::None);
        // SAFETY: dense matrices of these sizes.
        unsafe { gemm::gemm(m, n, k, c, 1, ys, false, x, 1, xs, w, 1, ys, 0.0, 1.0, false, false, false, serial) };
        bias_relu6(bias, y);
    };
    let matrixmultiply = |y: &mut [f32]| {
        let (c, x, w) = (y.as_mut_ptr(), x.as_ptr(), w.as_ptr());
        // SAFETY: dense matrices of these sizes.
        unsafe { matrixmultiply::sgemm(m, k, n, 1.0, x, xs, 1, w, ys, 1, 0.0, c, ys, 1) };
        bias_relu6(bias, y);
    };
    let arch = pulp::Arch::new();
    let [pulp_w, wide_w] = [arch.dispatch(PulpLanes), Wide::LANES].map(|lanes| panels(w, n, 2 * lanes));
    let layer = |w| Layer { x, w, bias, depthwise: None };
    let engines = vec![
        engine("kolibri", kolibri),
        engine("gemm", gemm),
        engine("matrixmultiply", matrixmultiply),
        engine("pulp", |y| arch.dispatch(Dispatch(layer(&pulp_w), y))),
        engine("wide", |y| pointwise(Wide, layer(&wide_w), y)),
    ];
    compare(group, &format!("1x1 {side}x{side}x{k} to {n}"), 2 * m * k * n, m * n, engines);
}

fn bench_depthwise(group: &mut BenchmarkGroup<'_, WallTime>, [side, channels, stride]: [usize; 3]) {
    let out = side / stride;
    // With as much of the border as the windows reach.
    let input = (out - 1) * stride + 3;
    let (x, w, bias) = (values(input * input * channels, 1.0), values(9 * channels, 2.0), values(channels, 1.0));
    let (x, w, bias) = (&x[..], &w[..], &bias[..]);
    let geometry = ConvGeometry::new(channels, channels, [3, 3]).stride([stride; 2]).groups(channels);
    let arch = pulp::Arch::new();
    let mut engines = vec![engine("kolibri", kolibri(&geometry, [input, out], [x, bias], Weights::hwc(w)))];
    for run in [4, 7, out] {
        let shape = Depthwise { sides: [input, out], stride, run };
        let layer = Layer { x, w, bias, depthwise: Some(shape) };
        engines.push(engine(&format!("pulp x{run}"), move |y| arch.dispatch(Dispatch(layer, y))));
        engines.push(engine(&format!("wide x{run}"), move |y| depthwise(Wide, layer, shape, y)));
    }
    let len = out * out * channels;
    compare(group, &format!("3x3 {side}x{side}x{channels} s{stride}"), 2 * 9 * len, len, engines);
}

fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("baselines");
    group.warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(200)).sample_size(20);
    POINTWISE.into_iter().for_each(|shape| bench_pointwise(&mut group, shape));
    DEPTHWISE.into_iter().for_each(|shape| bench_depthwise(&mut group, shape));
}

criterion_group!(benches, all);
criterion_main!(benches);

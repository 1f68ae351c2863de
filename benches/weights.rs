//! Weights that come from beyond L2: the last pointwise convolutions of MobileNet v1, 10.5 MB of weights in f32 and a
//! quarter of that in bytes, on every level. First their products alone, panel after panel, with the kernels asking for
//! the panel behind each and without; then the operators, each with an allocation of its own and joined. The ways take
//! turns; the least of many times, one thread, as a share of the level's multiply-adds in registers.
//!
//! `cargo bench --bench weights -- avx2` for some levels.

mod common;

use kolibri::{
    Activation, Conv2d, ConvGeometry, Element, Image, ImageMut, Level, PackedWeights, QuantParams, Quantization,
    Requantization, Serial, Weights, Workspace, join_weights,
    kernels::{GemmF32, GemmI8, Kernels},
};
use std::time::Instant;

/// Pixels, input and output channels.
const LAYERS: [[usize; 3]; 7] = [
    [196, 512, 512],
    [196, 512, 512],
    [196, 512, 512],
    [196, 512, 512],
    [196, 512, 512],
    [49, 512, 1024],
    [49, 1024, 1024],
];
const ROUNDS: usize = 60;
const AHEAD: [&str; 2] = ["alone", "ahead"];
/// Values from a row of A to the next: not a power of two, whose rows would lie in few sets of L1.
const PITCH: usize = 1024 + 16;

fn seconds(f: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// The least time of each of two, in turns; each once more before, so that it finds the caches as it leaves them.
fn least(mut ways: [&mut dyn FnMut(); 2]) -> [f64; 2] {
    let mut least = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        for (way, least) in ways.iter_mut().zip(&mut least) {
            way();
            *least = least.min(seconds(way));
        }
    }
    least
}

fn print(what: &str, names: [&str; 2], times: [f64; 2], operations: usize, peak: f64) {
    let rates = times.map(|time| operations as f64 / time);
    println!("{what:28} {:6} {:7.1} Gop/s {:5.1} % of peak", names[0], rates[0] * 1e-9, 100.0 * rates[0] / peak);
    println!(
        "{:28} {:6} {:7.1} Gop/s {:5.1} % of peak, {:.3} times as fast",
        "",
        names[1],
        rates[1] * 1e-9,
        100.0 * rates[1] / peak,
        times[0] / times[1]
    );
}

/// The products of all layers with the widest kernels in full tiles, and how many operations they are.
fn products_f32(kernels: &'static Kernels, ahead: bool, b: &[f32], a: &[*const f32], c: &mut [f32]) -> usize {
    let (registers, nr) = (kernels.gemm_mr.len(), kernels.nr());
    let mr = kernels.gemm_mr[registers - 1];
    let kernel = kernels.gemm(mr, registers).expect("the largest tile");
    let (mut at, mut operations) = (0, 0);
    for [m, k, n] in LAYERS {
        let (tiles, panel_len) = (m / mr, nr * (1 + k));
        for panel in 0..n / nr {
            let args = GemmF32 {
                rows: a.as_ptr(),
                offset: 0,
                taps: 1,
                run: k,
                tiles,
                b: b[at..at + panel_len].as_ptr(),
                panel_len,
                ahead,
                panels: 1,
                panel_columns: nr,
                c: c[panel * nr..tiles * mr * n].as_mut_ptr(),
                c_stride: n,
                last: nr - kernels.lanes,
                columns: nr,
                min: 0.0,
                max: 6.0,
            };
            // SAFETY: pointers to rows of at least `k` values, a panel, and the columns of as many rows.
            unsafe { kernel.run(&args) };
            at += panel_len;
        }
        operations += 2 * tiles * mr * k * n;
    }
    operations
}

/// As [`products_f32`]; `a` has rows as far apart as they are long.
fn products_i8(kernels: &'static Kernels, ahead: bool, b: &[f32], a: &[f32], c: &mut [f32]) -> usize {
    let int8 = &kernels.int8;
    let (registers, nr) = (int8.mr.len(), int8.nr());
    let mr = int8.mr[registers - 1];
    let kernel = kernels.gemm_i8(mr, registers).expect("the largest tile");
    let (mut at, mut operations) = (0, 0);
    for [m, k, n] in LAYERS {
        let (tiles, row) = (m / mr, k * int8.element);
        let panel_len = nr * (8 + row);
        for panel in 0..n / nr {
            let args = GemmI8 {
                a: a[..(tiles * mr * row).div_ceil(4)].as_ptr().cast(),
                a_stride: row,
                k: row,
                tiles,
                b: b[at / 4..(at + panel_len) / 4].as_ptr().cast(),
                panel_len,
                ahead,
                panels: 1,
                panel_columns: nr,
                c: c[..(tiles * mr * n).div_ceil(4)].as_mut_ptr().cast::<u8>().wrapping_add(panel * nr),
                c_stride: n,
                sums: std::ptr::null_mut(),
                sums_stride: 0,
                last: nr - int8.lanes,
                columns: nr,
                zero_point: 3,
                min: 0,
                max: 255,
                flip: 0,
            };
            // SAFETY: rows of `k` bytes, a panel with scales of 0.5, and the columns of as many rows.
            unsafe { kernel.run(&args) };
            at += panel_len;
        }
        operations += 2 * tiles * mr * k * n;
    }
    operations
}

/// The layers as operators, each on one of two buffers into the other.
struct Operators<T: Element> {
    convs: Vec<Conv2d<T>>,
    buffers: [Vec<T>; 2],
    workspace: Workspace,
}

impl<T: Element> Operators<T> {
    fn new(conv: impl Fn(&ConvGeometry) -> Conv2d<T>, value: T, joined: bool) -> Self {
        let mut convs: Vec<_> =
            LAYERS.iter().map(|&[_, cin, cout]| conv(&ConvGeometry::new(cin, cout, [1, 1]))).collect();
        if joined {
            join_weights(convs.iter_mut().map(|conv| conv as &mut dyn PackedWeights));
        }
        let mut workspace = Workspace::default();
        for (conv, [m, ..]) in convs.iter().zip(LAYERS) {
            workspace.grow(conv.workspace_len([1, 1, m], 1).expect("valid")).expect("memory");
        }
        Operators { convs, buffers: [(); 2].map(|_| vec![value; 196 * 512]), workspace }
    }

    fn run(&mut self) {
        for (conv, [m, cin, cout]) in self.convs.iter().zip(LAYERS) {
            let [x, y] = &mut self.buffers;
            let x = Image::nhwc(&x[..m * cin], 1, 1, m, cin).expect("dense");
            let y = ImageMut::nhwc(&mut y[..m * cout], 1, 1, m, cout).expect("dense");
            conv.run(x, None, y, &mut self.workspace, &Serial).expect("valid");
            self.buffers.swap(0, 1);
        }
    }
}

fn operators<T: Element>(what: &str, conv: impl Fn(&ConvGeometry) -> Conv2d<T>, value: T, peak: f64) {
    let operations = LAYERS.iter().map(|[m, k, n]| 2 * m * k * n).sum();
    let [mut apart, mut joined] = [false, true].map(|joined| Operators::new(&conv, value, joined));
    let times = least([&mut || apart.run(), &mut || joined.run()]);
    print(what, ["apart", "joined"], times, operations, peak);
}

fn level(kernels: &'static Kernels) {
    let name = kernels.level.name();
    let [flops, ops] = [
        common::peak(&kernels.probe_fma_f32[0], kernels.probe_fma_flops),
        common::peak(&kernels.probe_dot_i8[0], kernels.probe_dot_ops),
    ];
    let columns: usize = LAYERS.iter().map(|[_, k, n]| n * (k + 8)).sum();
    let (a, b) = (vec![0.5f32; 196 * PITCH], vec![0.5f32; columns]);
    let [mut c, mut d] = [(); 2].map(|_| vec![0.0f32; 196 * 1024]);
    let rows: Vec<_> = (0..196).map(|i| a[i * PITCH..].as_ptr()).collect();

    let operations = products_f32(kernels, false, &b, &rows, &mut c);
    let times = least([&mut || _ = products_f32(kernels, false, &b, &rows, &mut c), &mut || {
        _ = products_f32(kernels, true, &b, &rows, &mut d)
    }]);
    print(&format!("{name} f32 products"), AHEAD, times, operations, flops);
    let operations = products_i8(kernels, false, &b, &a, &mut c);
    let times = least([&mut || _ = products_i8(kernels, false, &b, &a, &mut c), &mut || {
        _ = products_i8(kernels, true, &b, &a, &mut d)
    }]);
    print(&format!("{name} int8 products"), AHEAD, times, operations, ops);

    let f32 = |g: &ConvGeometry| {
        let weights = vec![0.01; g.cin * g.cout];
        Conv2d::f32_on(kernels, g, Weights::oihw(&weights), None, Activation::Relu6).expect("valid")
    };
    operators(&format!("{name} f32 operators"), f32, 0.5, flops);
    let u8 = |g: &ConvGeometry| {
        let weights: Vec<_> = (0..g.cin * g.cout).map(|i| (i % 200) as i8).collect();
        let (x, y) = (QuantParams::new(0.05, 0), QuantParams::new(8.0, 0));
        let mode = Requantization::FloatScale;
        let quantization = Quantization { x, weight_scales: &[0.01], y, residual: None, mode };
        Conv2d::quantized_on(kernels, g, Weights::oihw(&weights), None, &quantization, Activation::None).expect("valid")
    };
    operators(&format!("{name} int8 operators"), u8, 100u8, ops);
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let asked = |kernels: &&'static Kernels| words.is_empty() || words.iter().any(|word| word == kernels.level.name());
    Level::available().filter_map(Level::kernels).filter(asked).for_each(level);
}

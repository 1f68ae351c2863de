//! Blocks of the MobileNets as chains, on every level: their convolutions by `Conv2d` into buffers of the caller, a
//! chain that runs one after the other, one that runs in strips, and what the rule of `Chain` takes. Whole networks
//! take turns, so that each block finds weights and images where the blocks before it left them; the least of many
//! times, one thread.
//!
//! `cargo bench --bench chain -- avx512 f32 v2` for some of them; `--strips` tries every height.

use kolibri::{
    Activation, Chain, Conv2d, ConvGeometry, Element, Fusion, Image, ImageMut, Level, Padding, QuantParams,
    Quantization, Requantization, Serial, Weights, Workspace, kernels::Kernels,
};
use std::time::Instant;

/// Size, channels in, of the filter, out; stride.
type Block = [usize; 5];

/// The separable convolutions of MobileNet v1.
const V1: [Block; 9] = [
    [112, 32, 32, 64, 1],
    [112, 64, 64, 128, 2],
    [56, 128, 128, 128, 1],
    [56, 128, 128, 256, 2],
    [28, 256, 256, 256, 1],
    [28, 256, 256, 512, 2],
    [14, 512, 512, 512, 1],
    [14, 512, 512, 1024, 2],
    [7, 1024, 1024, 1024, 1],
];
/// The inverted residuals of MobileNet v2.
const V2: [Block; 11] = [
    [112, 32, 32, 16, 1],
    [112, 16, 96, 24, 2],
    [56, 24, 144, 24, 1],
    [56, 24, 144, 32, 2],
    [28, 32, 192, 32, 1],
    [28, 32, 192, 64, 2],
    [14, 64, 384, 64, 1],
    [14, 96, 576, 96, 1],
    [14, 96, 576, 160, 2],
    [7, 160, 960, 160, 1],
    [7, 160, 960, 320, 1],
];

/// One chain: the size of its input, and its convolutions.
struct Case {
    size: usize,
    geometries: Vec<ConvGeometry>,
}

/// Expansion where there is one, filter, projection.
fn block([size, cin, c, cout, stride]: Block) -> Case {
    let filter = ConvGeometry::new(c, c, [3, 3]).stride([stride; 2]).padding(Padding::Same).groups(c);
    let expand = (cin != c).then_some(ConvGeometry::new(cin, c, [1, 1]));
    let geometries = expand.into_iter().chain([filter, ConvGeometry::new(c, cout, [1, 1])]).collect();
    Case { size, geometries }
}

/// The first convolution of the networks and the first two blocks, as one chain.
fn beginning(blocks: &[Block]) -> Case {
    let stem = ConvGeometry::new(3, 32, [3, 3]).stride([2, 2]).padding(Padding::Same);
    let blocks = blocks[..2].iter().flat_map(|&b| block(b).geometries);
    Case { size: 224, geometries: [stem].into_iter().chain(blocks).collect() }
}

impl Case {
    fn name(&self) -> String {
        let channels: Vec<_> = self.geometries.iter().map(|g| g.cout.to_string()).collect();
        let strides: usize = self.geometries.iter().map(|g| g.window.stride[0]).product();
        format!("{:>3} {}>{} s{strides}", self.size, self.geometries[0].cin, channels.join(">"))
    }

    /// Sizes of the images, the input's first.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![self.size];
        for g in &self.geometries {
            sizes.push(sizes[sizes.len() - 1].div_ceil(g.window.stride[0]));
        }
        sizes
    }

    fn convs<T: Value>(&self, kernels: &'static Kernels) -> Vec<Conv2d<T>> {
        // A projection to fewer channels is linear.
        let linear = |g: &ConvGeometry| g.cout < g.cin;
        let activation = |g| if linear(g) { Activation::None } else { Activation::Relu6 };
        self.geometries.iter().map(|g| T::conv(kernels, g, activation(g))).collect()
    }

    fn has_residual(&self) -> bool {
        let (first, last) = (&self.geometries[0], &self.geometries[self.geometries.len() - 1]);
        first.cin == last.cout && self.sizes().iter().all(|&size| size == self.size) && first.cin < first.cout
    }
}

trait Value: Element {
    const NAME: &str;
    const VALUE: Self;
    fn conv(kernels: &'static Kernels, geometry: &ConvGeometry, activation: Activation) -> Conv2d<Self>;
}

fn weights(geometry: &ConvGeometry) -> usize {
    geometry.cout * geometry.cin / geometry.groups * geometry.window.kernel.iter().product::<usize>()
}

impl Value for f32 {
    const NAME: &str = "f32";
    const VALUE: f32 = 0.5;
    fn conv(kernels: &'static Kernels, geometry: &ConvGeometry, activation: Activation) -> Conv2d {
        let weights = vec![0.01; weights(geometry)];
        Conv2d::f32_on(kernels, geometry, Weights::oihw(&weights), None, activation).expect("valid")
    }
}

macro_rules! bytes {
    ($type:ty) => {
        impl Value for $type {
            const NAME: &str = stringify!($type);
            const VALUE: $type = 100;
            fn conv(kernels: &'static Kernels, geometry: &ConvGeometry, activation: Activation) -> Conv2d<$type> {
                let weights: Vec<_> = (0..weights(geometry)).map(|i| (i % 200) as i8).collect();
                // What is not linear has its zero at the least byte.
                let zero = <$type>::MIN as i32;
                let zero_point = if activation == Activation::None { zero + 128 } else { zero };
                let quantization = Quantization {
                    x: QuantParams::new(0.05, zero + 128),
                    weight_scales: &[0.01],
                    y: QuantParams::new(0.05, zero_point),
                    residual: Some(QuantParams::new(0.05, zero + 128)).filter(|_| activation == Activation::None),
                    mode: Requantization::FloatScale,
                };
                Conv2d::quantized_on(kernels, geometry, Weights::oihw(&weights), None, &quantization, activation)
                    .expect("valid")
            }
        }
    };
}
bytes!(u8);
bytes!(i8);

/// Heights that `--strips` tries.
const HEIGHTS: [usize; 8] = [1, 2, 3, 4, 5, 7, 10, 14];

/// The convolutions of each chain, and buffers for what lies between.
type Alone<T> = (Vec<Vec<Conv2d<T>>>, [Vec<T>; 2]);

/// All chains of a network in one way.
struct Way<T: Value> {
    chains: Vec<Chain<T>>,
    workspace: Workspace,
    /// What is run in place of the chains.
    alone: Option<Alone<T>>,
    /// The least seconds of each chain.
    least: Vec<f64>,
}

impl<T: Value> Way<T> {
    /// Without a fusion: by `Conv2d`.
    fn new(kernels: &'static Kernels, cases: &[Case], fusion: Option<Fusion>) -> Way<T> {
        let fused = fusion.unwrap_or(Fusion::Never);
        let chain = |case: &Case| Chain::with_fusion(case.convs(kernels), fused).expect("they fit");
        let chains: Vec<Chain<T>> = cases.iter().map(chain).collect();
        let mut workspace = Workspace::default();
        for (chain, case) in chains.iter().zip(cases) {
            workspace.grow(chain.workspace_len([1, case.size, case.size], 1).expect("valid")).expect("memory");
        }
        let convs = || cases.iter().map(|case| case.convs(kernels)).collect();
        let alone = fusion.is_none().then(|| (convs(), [(); 2].map(|_| vec![T::VALUE; 112 * 112 * 96])));
        Way { chains, workspace, alone, least: vec![f64::INFINITY; cases.len()] }
    }

    /// One chain after the other, from one of two buffers to the other, as in a network.
    fn run(&mut self, cases: &[Case], [from, to]: &mut [Vec<T>; 2]) {
        for (i, (case, least)) in cases.iter().zip(&mut self.least).enumerate() {
            let chain = &self.chains[i];
            let sizes = case.sizes();
            let (size, out) = (case.size, sizes[sizes.len() - 1]);
            let (cin, cout) = (case.geometries[0].cin, case.geometries[case.geometries.len() - 1].cout);
            let x = Image::nhwc(&from[..size * size * cin], 1, size, size, cin).expect("dense");
            let mut y = ImageMut::nhwc(&mut to[..out * out * cout], 1, out, out, cout).expect("dense");
            let residual = case.has_residual().then_some(x);
            let start = Instant::now();
            match &mut self.alone {
                None => chain.run(x, residual, y, &mut self.workspace, &Serial).expect("valid"),
                Some((convs, [a, b])) => {
                    let last = convs[i].len() - 1;
                    for (i, (conv, sizes)) in convs[i].iter().zip(sizes.windows(2)).enumerate() {
                        let ([h, oh], g) = ([sizes[0], sizes[1]], conv.geometry());
                        let from = &a[..if i == 0 { 0 } else { h * h * g.cin }];
                        let x = if i == 0 { x } else { Image::nhwc(from, 1, h, h, g.cin).expect("dense") };
                        let len = if i == last { 0 } else { oh * oh * g.cout };
                        let y = match i == last {
                            true => y.reborrow(),
                            false => ImageMut::nhwc(&mut b[..len], 1, oh, oh, g.cout).expect("dense"),
                        };
                        let residual = residual.filter(|_| i == last);
                        conv.run(x, residual, y, &mut self.workspace, &Serial).expect("valid");
                        std::mem::swap(a, b);
                    }
                }
            }
            *least = least.min(start.elapsed().as_secs_f64());
            std::mem::swap(from, to);
        }
    }

    fn strip(&self, i: usize, size: usize) -> Option<usize> {
        self.chains[i].strip_rows([1, size, size]).expect("valid")
    }
}

fn network<T: Value>(kernels: &'static Kernels, name: &str, cases: &[Case], strips: bool) {
    let mut fusions = vec![None, Some(Fusion::Never), Some(Fusion::Always), Some(Fusion::ByCost)];
    fusions.extend(HEIGHTS.iter().filter(|_| strips).map(|&rows| Some(Fusion::Strips(rows))));
    let mut ways: Vec<_> = fusions.iter().map(|&fusion| Way::<T>::new(kernels, cases, fusion)).collect();
    let mut buffers = [(); 2].map(|_| vec![T::VALUE; 224 * 224 * 16]);
    for _ in 0..40 {
        for way in &mut ways {
            // Some times in a row: the first finds the caches as another way left them.
            (0..3).for_each(|_| way.run(cases, &mut buffers));
        }
    }
    println!("{} {} {name}, microseconds", kernels.level.name(), T::NAME);
    println!(
        "{:26} {:>8} {:>10} {:>10} {:>6}  choice: of Conv2d, of one by one",
        "", "Conv2d", "one by one", "strips", "rows"
    );
    let mut sums = [0.0; 3];
    for (i, case) in cases.iter().enumerate() {
        let [alone, mut never, mut always, chosen] = [0, 1, 2, 3].map(|way: usize| ways[way].least[i] * 1e6);
        let choice = ways[3].strip(i, case.size);
        // The same way, the same time.
        let same = if choice.is_none() { &mut never } else { &mut always };
        *same = same.min(chosen);
        let time = *same;
        sums.iter_mut().zip([alone, never, time]).for_each(|(sum, time)| *sum += time);
        let what = choice.map_or("one by one".into(), |rows| format!("strips of {rows}"));
        let rows = ways[2].strip(i, case.size).unwrap_or(0);
        print!("{:26} {alone:8.1} {never:10.1} {always:10.1} {rows:6}  {what:13}", case.name());
        print!(" {:5.2} {:5.2}", alone / time, never / time);
        for (way, rows) in ways[4..].iter().zip(HEIGHTS) {
            print!("  {rows}:{:.2}", never / way.least[i] * 1e-6);
        }
        println!();
    }
    let [alone, never, time] = sums;
    println!(
        "{:26} {alone:8.1} {never:10.1} {time:10.1} {:21}  {:5.2} {:5.2}",
        "  all",
        "",
        alone / time,
        never / time
    );
}

type Network = fn(&'static Kernels, &str, &[Case], bool);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let strips = words.iter().any(|word| word == "--strips");
    let asked = |all: &[&str], word: &str| {
        let some = words.iter().any(|word| all.contains(&word.as_str()));
        !some || words.iter().any(|given| given == word)
    };
    let names: Vec<_> = Level::available().map(Level::name).collect();
    for kernels in Level::available().filter_map(Level::kernels) {
        if !asked(&names, kernels.level.name()) {
            continue;
        }
        for (name, blocks) in [("v1", &V1[..]), ("v2", &V2[..])] {
            if !asked(&["v1", "v2"], name) {
                continue;
            }
            let cases: Vec<_> = blocks.iter().copied().map(block).collect();
            let beginning = [beginning(blocks)];
            for (value, run) in [("f32", network::<f32> as Network), ("u8", network::<u8>), ("i8", network::<i8>)] {
                if asked(&["f32", "u8", "i8"], value) {
                    run(kernels, name, &cases, strips);
                    run(kernels, &format!("beginning of {name}"), &beginning, strips);
                }
            }
        }
    }
}

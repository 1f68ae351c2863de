//! One operator serves several threads at the same time, each with a workspace of its own, and a run may lend threads of
//! its own: the bits stay those of one thread. `.ci/valgrind.sh` runs this under helgrind, to which threads of a test harness
//! would look as if they raced: there is none.

mod common;

use common::{Threads, levels};
use kolibri::{
    Activate, Activation, Add, Chain, ChannelShuffle, Concat, Conv2d, ConvGeometry, Element, Error, FullyConnected,
    Fusion, Image, ImageMut, Level, Lookup, Padding, Parallel, Pool2d, QuantParams, Quantization, Quantized,
    Requantization, Serial, SqueezeExcite, SqueezeExciteQuantization, SqueezeExciteWeights, Weights, Window, Workspace,
    kernels::Kernels,
};
use std::thread;

const fn shared<T: Send + Sync>() {}

const fn shared_of<T: Element>() {
    shared::<Conv2d<T>>();
    shared::<FullyConnected<T>>();
    shared::<Chain<T>>();
    shared::<Pool2d<T>>();
    shared::<Add<T>>();
    shared::<SqueezeExcite<T>>();
    shared::<Image<'_, T>>();
    shared::<ImageMut<'_, T>>();
}

const fn shared_of_bytes<T: Quantized>() {
    shared_of::<T>();
    shared::<Lookup<T>>();
    shared::<Concat<T>>();
}

const _: () = {
    shared_of::<f32>();
    shared_of_bytes::<i8>();
    shared_of_bytes::<u8>();
    shared::<(Activate, ChannelShuffle, Workspace, Error, Level, &Kernels)>();
};

const SIZE: usize = 9;
const C: usize = 24;

/// What an operator makes of one input, as bits.
type Run = Box<dyn Fn(&dyn Parallel) -> Vec<u32> + Send + Sync>;

/// Elements that are not all alike.
trait Value: Element + Default {
    fn value(i: usize) -> Self;
    fn bits(self) -> u32;
    fn conv(kernels: &'static Kernels, geometry: &ConvGeometry) -> Conv2d<Self>;
}

impl Value for f32 {
    fn value(i: usize) -> f32 {
        (i * 37 % 101) as f32 / 64.0 - 0.75
    }

    fn bits(self) -> u32 {
        self.to_bits()
    }

    fn conv(kernels: &'static Kernels, geometry: &ConvGeometry) -> Conv2d {
        let weights = values::<f32>(geometry.weights().expect("valid"));
        Conv2d::f32_on(kernels, geometry, Weights::oihw(&weights), None, Activation::HardSwish).expect("valid")
    }
}

macro_rules! bytes {
    ($type:ty) => {
        impl Value for $type {
            fn value(i: usize) -> $type {
                (i * 37 % 251) as $type
            }

            fn bits(self) -> u32 {
                self as u32
            }

            fn conv(kernels: &'static Kernels, geometry: &ConvGeometry) -> Conv2d<$type> {
                let weights: Vec<_> = (0..geometry.weights().expect("valid")).map(|i| (i * 41 % 255) as i8).collect();
                let (x, y) = (QuantParams::new(0.1, 3), QuantParams::new(20.0, 9));
                // Sums that are left to a second pass, too.
                let mode = [Requantization::FloatScale, Requantization::TfliteDouble][geometry.cout % 2];
                let quantization = Quantization { x, weight_scales: &[0.1], y, residual: None, mode };
                let weights = Weights::oihw(&weights);
                Conv2d::quantized_on(kernels, geometry, weights, None, &quantization, Activation::Relu).expect("valid")
            }
        }
    };
}
bytes!(u8);
bytes!(i8);

fn values<T: Value>(len: usize) -> Vec<T> {
    (0..len).map(T::value).collect()
}

/// A run of `operator`, which takes an image of `C` channels, into one of that shape.
fn run<T: Value>(
    [oh, ow, cout]: [usize; 3],
    operator: impl Fn(Image<'_, T>, ImageMut<'_, T>, &dyn Parallel) + Send + Sync + 'static,
) -> Run {
    let x = values::<T>(2 * SIZE * SIZE * C);
    Box::new(move |parallel| {
        let mut y = vec![T::default(); 2 * oh * ow * cout];
        let to = ImageMut::nhwc(&mut y, 2, oh, ow, cout).expect("dense");
        operator(Image::nhwc(&x, 2, SIZE, SIZE, C).expect("dense"), to, parallel);
        y.into_iter().map(T::bits).collect()
    })
}

fn workspace(len: Result<usize, Error>) -> Workspace {
    Workspace::new(len.expect("an output")).expect("memory")
}

const IMAGE: [usize; 3] = [2, SIZE, SIZE];

fn convolution<T: Value>(kernels: &'static Kernels, geometry: ConvGeometry) -> Run {
    let conv = T::conv(kernels, &geometry);
    let [oh, ow] = conv.output_size(SIZE, SIZE).expect("an output");
    run([oh, ow, geometry.cout], move |x, y, parallel| {
        let mut workspace = workspace(conv.workspace_len(IMAGE, parallel.threads()));
        conv.run(x, None, y, &mut workspace, parallel).expect("valid");
    })
}

fn chain<T: Value>(kernels: &'static Kernels, fusion: Fusion) -> Run {
    let filter = ConvGeometry::new(70, 70, [3, 3]).padding(Padding::Same).groups(70);
    let convs = [ConvGeometry::new(C, 70, [1, 1]), filter, ConvGeometry::new(70, 20, [1, 1])];
    let chain = Chain::with_fusion(convs.iter().map(|g| T::conv(kernels, g)).collect(), fusion).expect("valid");
    run([SIZE, SIZE, 20], move |x, y, parallel| {
        let mut workspace = workspace(chain.workspace_len(IMAGE, parallel.threads()));
        chain.run(x, None, y, &mut workspace, parallel).expect("valid");
    })
}

fn excite<T: Value>(excite: SqueezeExcite<T>) -> Run {
    run([SIZE, SIZE, C], move |x, y, parallel| {
        let mut workspace = workspace(excite.workspace_len(IMAGE, parallel.threads()));
        excite.run(x, y, &mut workspace, parallel).expect("valid");
    })
}

/// What there is for each element type.
fn operators_of<T: Value>(kernels: &'static Kernels) -> Vec<Run> {
    let shuffle = ChannelShuffle::new_on(kernels, 3).expect("groups");
    let geometry = |cout, k| ConvGeometry::new(C, cout, [k, k]).padding(Padding::Same);
    vec![
        convolution::<T>(kernels, geometry(40, 3).stride([2, 2])),
        convolution::<T>(kernels, geometry(135, 1)),
        convolution::<T>(kernels, geometry(30, 3).groups(6)),
        convolution::<T>(kernels, geometry(C, 3).groups(C)),
        convolution::<T>(kernels, geometry(C, 4).groups(C)),
        chain::<T>(kernels, Fusion::Never),
        chain::<T>(kernels, Fusion::Strips(2)),
        run::<T>([SIZE, SIZE, C], move |x, y, parallel| shuffle.run(x, y, parallel).expect("valid")),
    ]
}

fn operators_of_bytes<T: Value + Quantized>(kernels: &'static Kernels) -> Vec<Run> {
    let mut all = operators_of::<T>(kernels);
    let params = [QuantParams::new(0.1, 3), QuantParams::new(0.07, 9)];
    let [x, y] = params;
    let average = Pool2d::<T>::quantized_average_on(kernels, Window::new([3, 3])).expect("valid");
    all.push(run([SIZE - 2, SIZE - 2, C], move |x, y, parallel| average.run(x, y, parallel).expect("valid")));
    let lookup = Lookup::<T>::sigmoid_on(kernels, x, y).expect("valid");
    all.push(run([SIZE, SIZE, C], move |x, y, parallel| lookup.run(x, y, parallel).expect("valid")));
    let add = Add::<T>::quantized_on(kernels, x, x, y, Activation::None).expect("valid");
    all.push(run([SIZE, SIZE, C], move |x, y, parallel| add.run(x, x, y, parallel).expect("valid")));
    let concat = Concat::<T>::new_on(kernels, &params, y).expect("valid");
    all.push(run([SIZE, SIZE, 2 * C], move |x, y, parallel| concat.run(&[x, x], y, parallel).expect("valid")));
    let weights: Vec<_> = (0..C * 6).map(|i| (i * 41 % 255) as i8).collect();
    let (w_reduce, w_expand, scales) = (&weights[..], &weights[..], &[0.1][..]);
    let weights = SqueezeExciteWeights { c: C, reduced: 6, w_reduce, b_reduce: None, w_expand, b_expand: None };
    let quantization = SqueezeExciteQuantization {
        x,
        average: x,
        reduce_scales: scales,
        reduced: x,
        expand_scales: scales,
        expanded: x,
        gate: QuantParams::new(1.0 / 256.0, 0),
        y,
        mode: Requantization::FloatScale,
    };
    all.push(excite(SqueezeExcite::<T>::quantized_on(kernels, &weights, &quantization).expect("valid")));
    all
}

fn operators(kernels: &'static Kernels) -> Vec<Run> {
    let mut all = operators_of::<f32>(kernels);
    let max = Pool2d::max_on(kernels, Window::new([3, 3])).expect("valid");
    all.push(run([SIZE - 2, SIZE - 2, C], move |x, y, parallel| max.run(x, y, parallel).expect("valid")));
    let add = Add::f32_on(kernels, Activation::Relu6).expect("valid");
    all.push(run([SIZE, SIZE, C], move |x, y, parallel| add.run(x, x, y, parallel).expect("valid")));
    let activate = Activate::f32_on(kernels, Activation::Sigmoid).expect("valid");
    all.push(run([SIZE, SIZE, C], move |x, y, parallel| activate.run(x, y, parallel).expect("valid")));
    let w = values(C * 6);
    let weights = SqueezeExciteWeights { c: C, reduced: 6, w_reduce: &w, b_reduce: None, w_expand: &w, b_expand: None };
    all.push(excite(SqueezeExcite::f32_on(kernels, &weights).expect("valid")));
    all.extend(operators_of_bytes::<u8>(kernels));
    all.extend(operators_of_bytes::<i8>(kernels));
    all
}

fn main() {
    for kernels in levels() {
        for (i, run) in operators(kernels).iter().enumerate() {
            let expected = run(&Serial);
            let same = &|parallel: &dyn Parallel| run(parallel) == expected;
            thread::scope(|scope| {
                // Every other caller lends threads, too.
                let call = |caller| move || if caller % 2 == 0 { same(&Serial) } else { same(&Threads(3)) };
                let callers: Vec<_> = (0..8).map(|caller| scope.spawn(call(caller))).collect();
                let same = callers.into_iter().all(|caller| caller.join().expect("no panic"));
                assert!(same, "{:?}: {i}", kernels.level);
            });
        }
    }
}

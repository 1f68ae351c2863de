//! Weights of several operators in one allocation: the bits stay the same, also when some of the operators are gone.
#![cfg(feature = "operators")]

mod common;

use common::{Rng, levels};
use kolibri::{
    Activation, Chain, Conv2d, ConvGeometry, Element, FullyConnected, Image, ImageMut, PackedWeights, Padding,
    QuantParams, Quantization, Requantization, Serial, SqueezeExcite, SqueezeExciteWeights, Weights, Workspace,
    join_weights, kernels::Kernels,
};

/// An operator that can be asked what it makes of the same input.
trait Answers: PackedWeights {
    fn answer(&self) -> Vec<f32>;
}

const SIZE: usize = 5;
const FACTOR: f32 = 1.0 / 64.0;

/// Values that are not all alike.
fn input(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 37 % 101) as f32 * FACTOR - 0.5).collect()
}

fn convolve<T: Element + Default>(conv: &Conv2d<T>, x: &[T]) -> Vec<T> {
    let (cin, cout) = (conv.geometry().cin, conv.geometry().cout);
    let mut y = vec![T::default(); SIZE * SIZE * cout];
    let mut workspace = Workspace::new(conv.workspace_len([1, SIZE, SIZE], 1).unwrap()).unwrap();
    let x = Image::nhwc(x, 1, SIZE, SIZE, cin).unwrap();
    conv.run(x, None, ImageMut::nhwc(&mut y, 1, SIZE, SIZE, cout).unwrap(), &mut workspace, &Serial).unwrap();
    y
}

impl Answers for Conv2d {
    fn answer(&self) -> Vec<f32> {
        convolve(self, &input(SIZE * SIZE * self.geometry().cin))
    }
}

impl Answers for Conv2d<u8> {
    fn answer(&self) -> Vec<f32> {
        let x: Vec<_> = (0..SIZE * SIZE * self.geometry().cin).map(|i| (i * 37 % 251) as u8).collect();
        convolve(self, &x).into_iter().map(f32::from).collect()
    }
}

impl Answers for Chain {
    fn answer(&self) -> Vec<f32> {
        let (x, mut y) = (input(SIZE * SIZE * 24), vec![0.0; SIZE * SIZE * 40]);
        let mut workspace = Workspace::new(self.workspace_len([1, SIZE, SIZE], 1).unwrap()).unwrap();
        let x = Image::nhwc(&x, 1, SIZE, SIZE, 24).unwrap();
        let to = ImageMut::nhwc(&mut y, 1, SIZE, SIZE, 40).unwrap();
        self.run(x, None, to, &mut workspace, &Serial).unwrap();
        y
    }
}

impl Answers for SqueezeExcite {
    fn answer(&self) -> Vec<f32> {
        let (x, mut y) = (input(SIZE * SIZE * 24), vec![0.0; SIZE * SIZE * 24]);
        let mut workspace = Workspace::new(self.workspace_len([1, SIZE, SIZE], 1).unwrap()).unwrap();
        let x = Image::nhwc(&x, 1, SIZE, SIZE, 24).unwrap();
        self.run(x, ImageMut::nhwc(&mut y, 1, SIZE, SIZE, 24).unwrap(), &mut workspace, &Serial).unwrap();
        y
    }
}

impl Answers for FullyConnected {
    fn answer(&self) -> Vec<f32> {
        let mut y = vec![0.0; 1000];
        let mut workspace = Workspace::new(self.workspace_len(1, 1).unwrap()).unwrap();
        self.run(&input(64), 1, &mut y, &mut workspace, &Serial).unwrap();
        y
    }
}

/// Small weights and large ones, of every kind of operator that has any.
fn operators(kernels: &'static Kernels, rng: &mut Rng) -> Vec<Box<dyn Answers>> {
    let mut conv = |cin: usize, cout: usize, kernel: usize, groups: usize| {
        let geometry = ConvGeometry::new(cin, cout, [kernel; 2]).padding(Padding::Same).groups(groups);
        let weights: Vec<_> = (0..cout * cin / groups * kernel * kernel).map(|_| rng.below(99) as f32).collect();
        Conv2d::f32_on(kernels, &geometry, Weights::oihw(&weights), None, Activation::None).unwrap()
    };
    let chain = vec![conv(24, 72, 1, 1), conv(72, 72, 3, 72), conv(72, 40, 1, 1)];
    let convs = [conv(3, 8, 3, 1), conv(64, 1000, 1, 1), conv(72, 72, 3, 72), conv(96, 1200, 1, 3), conv(48, 96, 5, 1)];
    let bytes = |cin: usize, cout: usize| {
        let (x, y) = (QuantParams::new(0.1, 3), QuantParams::new(8.0, 9));
        let mode = Requantization::FloatScale;
        let quantization = Quantization { x, weight_scales: &[0.1], y, residual: None, mode };
        let weights: Vec<_> = (0..cin * cout).map(|i| (i * 37 % 255) as i8).collect();
        let (geometry, weights) = (ConvGeometry::new(cin, cout, [1, 1]), Weights::oihw(&weights));
        Conv2d::<u8>::quantized_on(kernels, &geometry, weights, None, &quantization, Activation::None).unwrap()
    };
    let (w, none) = (input(24 * 6), Activation::None);
    let mut all: Vec<Box<dyn Answers>> = convs.into_iter().map(|conv| Box::new(conv) as _).collect();
    all.push(Box::new(Chain::new(chain).unwrap()));
    let excite = SqueezeExciteWeights { c: 24, reduced: 6, w_reduce: &w, b_reduce: None, w_expand: &w, b_expand: None };
    all.push(Box::new(SqueezeExcite::f32_on(kernels, &excite).unwrap()));
    all.extend([bytes(130, 1010), bytes(7, 5)].map(|conv| Box::new(conv) as _));
    all.push(Box::new(FullyConnected::f32_on(kernels, 64, 1000, &input(64 * 1000), None, none).unwrap()));
    all
}

#[test]
fn joined_weights_are_the_same_weights() {
    for kernels in levels() {
        let rng = &mut Rng::new(4);
        let mut operators = operators(kernels, rng);
        let answers: Vec<_> = operators.iter().map(|operator| operator.answer()).collect();
        for _ in 0..2 {
            join_weights(operators.iter_mut().map(|operator| &mut **operator as &mut dyn PackedWeights));
            for (i, operator) in operators.iter().enumerate() {
                assert!(operator.answer() == answers[i], "{} {i}", kernels.level.name());
            }
        }
        // Those that are left keep what they need, and can be joined again.
        let kept: Vec<_> = (0..operators.len()).filter(|i| i % 3 == 1).collect();
        let mut operators: Vec<_> =
            operators.into_iter().enumerate().filter(|(i, _)| kept.contains(i)).map(|(_, operator)| operator).collect();
        for _ in 0..2 {
            for (operator, &i) in operators.iter().zip(&kept) {
                assert!(operator.answer() == answers[i], "{} {i}", kernels.level.name());
            }
            join_weights(operators.iter_mut().map(|operator| &mut **operator as &mut dyn PackedWeights));
        }
    }
}

#[test]
fn joining_nothing_does_nothing() {
    join_weights([]);
}

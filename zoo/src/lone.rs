//! Layers by themselves, with seeded random weights and hot caches.

use crate::{
    aligned::Aligned,
    layer::{Act, Layer, Op},
    model::Parameters,
    operator::{Bytes, Operator},
    quantized::QuantizedParameters,
    random::Random,
};
use kolibri::{Element, Error, Image, ImageMut, Parallel, QuantParams, Workspace, kernels::Kernels};

/// A shape that occurs in a network.
#[derive(Clone, Debug)]
pub struct Distinct {
    /// The first layer that has it.
    pub layer: Layer,
    /// Layers that have it.
    pub count: usize,
}

/// Every shape of `layers` once, in order of first appearance. A residual is part of the shape.
pub fn distinct(layers: &[Layer]) -> Vec<Distinct> {
    let mut all: Vec<Distinct> = Vec::new();
    for layer in layers {
        let same = |d: &&mut Distinct| {
            d.layer.shape == layer.shape && d.layer.residual().is_some() == layer.residual().is_some()
        };
        match all.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None => all.push(Distinct { layer: layer.clone(), count: 1 }),
        }
    }
    all
}

/// Values, and their height, width, channels.
type Operand<T> = (Aligned<T>, [usize; 3]);

/// An operator with operands of its own.
pub struct Lone<T: Element = f32> {
    operator: Operator<T>,
    x: Operand<T>,
    other: Option<Operand<T>>,
    y: Operand<T>,
    workspace: Workspace,
}

impl Lone<f32> {
    /// For layers that one operator does, see [`crate::fuse`].
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with shapes.
    pub fn new(layers: &[Layer], kernels: &'static Kernels, threads: usize) -> Result<Self, Error> {
        let mut random = Random::default();
        let parameters = layers.iter().map(|layer| {
            let weights = random.values(layer.shape.weight_shape().iter().product());
            Parameters { weights, bias: random.values(layer.shape.cout) }
        });
        let operator = Operator::new(kernels, layers, &parameters.collect::<Vec<_>>())?;
        Self::with(operator, layers, threads, |len| random.values(len))
    }
}

impl Lone<u8> {
    /// As [`Lone::new`], on bytes.
    ///
    /// # Errors
    /// As [`Lone::new`].
    pub fn quantized(layers: &[Layer], kernels: &'static Kernels, threads: usize) -> Result<Self, Error> {
        let mut random = Random::default();
        let parameters = layers.iter().map(|Layer { shape, .. }| {
            let weights = random.bytes(shape.weight_shape().iter().product()).map(|byte| byte as i8).collect();
            let scales = random.values(shape.cout).iter().map(|x| (1.5 + x) / 128.0).collect();
            let bias = random.values(shape.cout).iter().map(|x| (x * 1e4) as i32).collect();
            QuantizedParameters { weights, scales, bias }
        });
        let parameters: Vec<_> = parameters.collect();
        // As calibration would have it: nothing is below zero after ReLU.
        let y = |layer: &Layer| match layer.shape.act {
            Act::Relu | Act::Relu6 => QuantParams::new(6.0 / 255.0, 0),
            _ => QuantParams::new(0.05, 100),
        };
        let x = std::iter::once(QuantParams::new(0.02, 0)).chain(layers.iter().map(y));
        let other = |layer: &Layer| layer.inputs.get(1).map(|_| QuantParams::new(0.04, 100));
        let bytes = layers.iter().zip(x).map(|(layer, x)| Bytes { x, y: y(layer), other: other(layer) });
        let operator = Operator::quantized(kernels, layers, &parameters, &bytes.collect::<Vec<_>>())?;
        Self::with(operator, layers, threads, |len| random.bytes(len).collect())
    }
}

impl<T: Element + Default + Clone> Lone<T> {
    fn with(
        operator: Operator<T>,
        layers: &[Layer],
        threads: usize,
        mut values: impl FnMut(usize) -> Vec<T>,
    ) -> Result<Self, Error> {
        let (first, last) = (&layers[0].shape, &layers[layers.len() - 1]);
        let y = last.shape;
        // Factors, which a squeeze-excite makes itself, are those of one pixel.
        let other = if y.op == Op::Mul { [1, 1, y.cout] } else { [y.hout, y.wout, y.cout] };
        let has = last.inputs.len() > 1 && !(y.op == Op::Mul && layers.len() > 1);
        Ok(Lone {
            x: (values(first.x_len())[..].into(), [first.hin, first.win, first.cin]),
            other: has.then(|| (values(other.iter().product())[..].into(), other)),
            y: (Aligned::new(y.y_len()), [y.hout, y.wout, y.cout]),
            workspace: Workspace::new(operator.workspace_len(threads)?)?,
            operator,
        })
    }

    /// The kernels that it uses.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        self.operator.kernel_names()
    }

    /// What it reads.
    pub fn x_mut(&mut self) -> &mut [T] {
        &mut self.x.0
    }

    /// What it writes.
    pub fn y_mut(&mut self) -> &mut [T] {
        &mut self.y.0
    }

    /// Runs it.
    ///
    /// # Errors
    /// More threads than it was made for.
    pub fn run(&mut self, parallel: &dyn Parallel) -> Result<(), Error> {
        let other = self.other.as_ref().map(image).transpose()?;
        let [h, w, c] = self.y.1;
        let y = ImageMut::nhwc(&mut self.y.0, 1, h, w, c)?;
        self.operator.run(image(&self.x)?, other, y, &mut self.workspace, parallel)
    }
}

fn image<T>((data, [h, w, c]): &Operand<T>) -> Result<Image<'_, T>, Error> {
    Image::nhwc(data, 1, *h, *w, *c)
}

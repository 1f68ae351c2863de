//! Convolutions, chains of them, fully connected layers.

use super::{Call, MOST_WORKSPACE, WORK, check, value::Value};
use crate::memory::Memory;
use arbitrary::Arbitrary;
use kolibri::{
    Activation, Chain, ConvGeometry, Error, Fusion, Image, ImageMut, PackedWeights, Padding, Weights, join_weights,
    kernels::DW_SHAPES,
};

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Standard,
    Pointwise,
    Depthwise,
    /// With a kernel of its own.
    OwnDepthwise,
    Multiplied,
    Grouped,
    Stem,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Layout {
    Oihw,
    Ohwi,
    Hwc,
}

/// All that a convolution is made of.
#[derive(Debug)]
pub struct Layer<T: Value> {
    pub geometry: ConvGeometry,
    layout: Layout,
    pub weights: Vec<T::Weight>,
    bias: Option<Vec<T::Bias>>,
    pub activation: Activation,
    pub scales: T::Scales,
}

impl<T: Value> Layer<T> {
    fn draw(call: &mut Call<'_, '_>, geometry: ConvGeometry) -> Self {
        let len = geometry.weights().unwrap_or(1);
        let weights = call.len(len);
        let weights = call.random(weights);
        let bias = if call.draw.flip() { Some(call.len(geometry.cout)) } else { None };
        let bias = bias.map(|len| (0..len).map(|_| T::bias(&mut call.rng, call.data)).collect());
        let mut layout = call.draw.any();
        if geometry.cin != geometry.groups && !call.draw.hostile {
            layout = [Layout::Oihw, Layout::Ohwi][usize::from(call.draw.flip())];
        }
        let activation = call.activation(size_of::<T>() == 1);
        let terms = len / geometry.cout.max(1);
        Layer { geometry, layout, weights, bias, activation, scales: T::scales(call, geometry.cout, terms) }
    }

    /// Of what a caller of the C ABI says; `None` for a layout that does not exist.
    pub fn of(
        geometry: ConvGeometry,
        layout: u32,
        weights: Vec<T::Weight>,
        bias: Option<Vec<T::Bias>>,
        activation: Activation,
        scales: T::Scales,
    ) -> Option<Self> {
        let layout = *[Layout::Oihw, Layout::Ohwi, Layout::Hwc].get(layout as usize)?;
        Some(Layer { geometry, layout, weights, bias, activation, scales })
    }

    pub fn weights(&self) -> Weights<'_, T::Weight> {
        match self.layout {
            Layout::Oihw => Weights::oihw(&self.weights),
            Layout::Ohwi => Weights::ohwi(&self.weights),
            Layout::Hwc => Weights::hwc(&self.weights),
        }
    }

    pub fn bias(&self) -> Option<&[T::Bias]> {
        self.bias.as_deref()
    }
}

/// Two sizes, often the same.
fn pair(call: &mut Call<'_, '_>, most: usize) -> [usize; 2] {
    let first = call.draw.size(most);
    [first, if call.draw.flip() { first } else { call.draw.size(most) }]
}

/// `cin` channels, where it is given.
fn geometry(call: &mut Call<'_, '_>, cin: Option<usize>) -> ConvGeometry {
    let kind = call.draw.any();
    let a = cin.unwrap_or_else(|| call.channels());
    let b = call.channels();
    let groups = call.draw.pick(&[2, 3, 4, 8]);
    let in_groups = |call: &mut Call<'_, '_>| call.draw.size(24).saturating_mul(groups);
    let (cin, cout, groups) = match kind {
        Kind::Standard | Kind::Pointwise => (a, b, 1),
        Kind::Depthwise | Kind::OwnDepthwise => (a, a, a),
        Kind::Multiplied => (a, a.saturating_mul(call.draw.pick(&[2, 3])), a),
        Kind::Grouped if cin.is_none() => (in_groups(call), in_groups(call), groups),
        Kind::Grouped if a.is_multiple_of(groups) => (a, in_groups(call), groups),
        Kind::Stem if cin.is_none() => (3, b, 1),
        Kind::Grouped | Kind::Stem => (a, b, 1),
    };
    // One, more often than not.
    let ones_or = |call: &mut Call<'_, '_>| if call.draw.flip() { [1, 1] } else { pair(call, 3) };
    let (kernel, stride, dilation) = match kind {
        Kind::Pointwise => ([1, 1], ones_or(call), [1, 1]),
        Kind::OwnDepthwise => {
            let (k, s) = call.draw.pick(&DW_SHAPES);
            ([call.draw.spoilt(k), k], [s, call.draw.spoilt(s)], [1, 1])
        }
        _ => (pair(call, if cin < 32 || groups == cin { 7 } else { 3 }), ones_or(call), ones_or(call)),
    };
    let geometry = ConvGeometry::new(cin, cout, kernel).stride(stride).dilation(dilation);
    geometry.groups(call.draw.spoilt(groups)).padding(padding(call, kernel, dilation))
}

pub fn padding(call: &mut Call<'_, '_>, kernel: [usize; 2], dilation: [usize; 2]) -> Padding {
    let mut side = |i: usize| {
        let most = kernel[i].saturating_sub(1).saturating_mul(dilation[i]).saturating_add(2);
        let side = call.draw.below(most);
        call.draw.spoilt(side)
    };
    match side(0) {
        0 => Padding::Valid,
        1 => Padding::Same,
        top => Padding::Explicit { top, left: side(1), bottom: side(0), right: side(1) },
    }
}

/// Multiply-adds of a pixel.
fn work(geometry: &ConvGeometry) -> usize {
    let [sy, sx] = geometry.window.stride;
    geometry.weights().unwrap_or(WORK) / sy.saturating_mul(sx).max(1)
}

fn outputs(geometries: &[ConvGeometry], [h, w]: [usize; 2]) -> Result<[usize; 2], Error> {
    geometries.iter().try_fold([h, w], |[h, w], geometry| geometry.output_size(h, w))
}

/// Whether the reference would be busy for too long.
fn is_too_much(geometries: &[ConvGeometry], image: [usize; 3]) -> bool {
    macs(geometries, image) > 3 * WORK as u64
}

/// Multiply-adds of one after the other.
pub fn macs(geometries: &[ConvGeometry], [n, h, w]: [usize; 3]) -> u64 {
    let macs = geometries.iter().enumerate().map(|(i, geometry)| {
        let size = outputs(&geometries[..i], [h, w]);
        size.and_then(|[h, w]| geometry.macs([n, h, w])).unwrap_or(0)
    });
    macs.fold(0, u64::saturating_add)
}

pub fn convolution<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let geometry = geometry(call, None);
    let [n, h, w] = call.image(work(&geometry));
    let [oh, ow] = geometry.output_size(h, w).unwrap_or([1, 1]);
    let layer = Layer::<T>::draw(call, geometry);
    let [x_page, residual_page, ..] = &mut memory.x;
    let x = call.operand::<T>(x_page, [n, h, w, geometry.cin]);
    let y_shape = [n, oh, ow, geometry.cout];
    let residual = if call.draw.flip() { Some(call.operand::<T>(residual_page, y_shape)) } else { None };
    let (view, y) = call.output::<T>(&mut memory.y, y_shape);

    let mut conv = T::conv(call.kernels, &layer);
    let mut bytes = Ok(0);
    if let Ok(conv) = &mut conv {
        join(call, [&mut *conv]);
        let image = x.size();
        bytes = conv.workspace_len(image, call.parallel.threads);
        // No matter what they say.
        let image = image.map(|size| call.draw.spoilt(size));
        let _ = (conv.workspace_len(image, call.draw.spoilt(1)), conv.macs(image), conv.parameters());
        let _ = (conv.parameter_bytes(), conv.packed_bytes(), conv.kernel_names());
    }
    let bytes = bytes.unwrap_or(0);
    if is_too_much(&[geometry], x.size()) || bytes > MOST_WORKSPACE {
        return;
    }
    let added = || residual.as_ref().map(|residual| residual.image()).transpose();
    check(
        &(call.kernels.level, call.parallel, &geometry, layer.layout, layer.activation, &layer.scales, x.view, view),
        T::exact(call.kernels),
        y,
        |y| T::conv_truth(x.image()?, added()?, view.of_mut(y)?, &layer),
        |y| {
            let conv = conv?;
            call.in_workspace(bytes, y, |y, workspace, parallel| {
                conv.run(x.image()?, added()?, view.of_mut(y)?, workspace, parallel)
            })
        },
    );
}

/// Lays weights side by side, or leaves them where they are.
fn join<'a, P: PackedWeights + 'a>(call: &mut Call<'_, '_>, operators: impl IntoIterator<Item = &'a mut P>) {
    if call.draw.flip() {
        join_weights(operators.into_iter().map(|operator| operator as &mut dyn PackedWeights));
    }
}

pub fn chain<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let len = 2 + call.draw.pick(&[0, 1, 1, 2]);
    let len = call.draw.spoilt(len).min(9);
    let mut geometries = Vec::new();
    for _ in 0..len {
        let cin = geometries.last().map(|before: &ConvGeometry| before.cout);
        let cin = call.draw.or_wrong(cin, &[None]);
        geometries.push(geometry(call, cin));
    }
    let [n, h, w] = call.image(geometries.iter().map(work).fold(0, usize::saturating_add));
    let [oh, ow] = outputs(&geometries, [h, w]).unwrap_or([1, 1]);
    let layers: Vec<Layer<T>> = geometries.iter().map(|geometry| Layer::draw(call, *geometry)).collect();
    let (cin, cout) = (geometries.first().map_or(1, |first| first.cin), geometries.last().map_or(1, |last| last.cout));
    let [x_page, residual_page, ..] = &mut memory.x;
    let x = call.operand::<T>(x_page, [n, h, w, cin]);
    // What is added: nothing, an image, or the input itself.
    let (adds, own) = (call.draw.flip(), call.draw.flip());
    let residual = if adds && !own { Some(call.operand::<T>(residual_page, [n, oh, ow, cout])) } else { None };
    let (view, y) = call.output::<T>(&mut memory.y, [n, oh, ow, cout]);
    if is_too_much(&geometries, x.size()) {
        return;
    }

    let fusion = match call.draw.below(4) {
        0 => Fusion::ByCost,
        1 => Fusion::Never,
        2 => Fusion::Always,
        _ => Fusion::Strips(call.draw.size(oh.min(256))),
    };
    let convs: Result<Vec<_>, _> = layers.iter().map(|layer| T::conv(call.kernels, layer)).collect();
    let mut chain = convs.and_then(|mut convs| {
        join(call, &mut convs);
        Chain::with_fusion(convs, fusion)
    });
    let mut bytes = Ok(0);
    if let Ok(chain) = &mut chain {
        join(call, [&mut *chain]);
        let image = x.size();
        bytes = chain.workspace_len(image, call.parallel.threads);
        let image = image.map(|size| call.draw.spoilt(size));
        let _ = (chain.workspace_len(image, call.draw.spoilt(1)), chain.strip_rows(image), chain.kernel_names());
    }
    let bytes = bytes.unwrap_or(0);
    if bytes > MOST_WORKSPACE {
        return;
    }
    let added = || {
        if own && adds { x.image().map(Some) } else { residual.as_ref().map(|residual| residual.image()).transpose() }
    };
    check(
        &(call.kernels.level, call.parallel, fusion, &geometries, x.view, view, adds, own),
        T::exact(call.kernels),
        y,
        |y| {
            if !(2..=8).contains(&layers.len()) || fusion == Fusion::Strips(0) {
                return Err(Error::ChainLength { most: 8, got: layers.len() });
            }
            one_by_one(&layers, x.image()?, added()?, view.of_mut(y)?)
        },
        |y| {
            let chain = chain?;
            call.in_workspace(bytes, y, |y, workspace, parallel| {
                chain.run(x.image()?, added()?, view.of_mut(y)?, workspace, parallel)
            })
        },
    );
}

pub fn one_by_one<T: Value>(
    layers: &[Layer<T>],
    x: Image<'_, T>,
    residual: Option<Image<'_, T>>,
    y: ImageMut<'_, T>,
) -> Result<(), Error> {
    let [layer, rest @ ..] = layers else { return Ok(()) };
    if rest.is_empty() {
        return T::conv_truth(x, residual, y, layer);
    }
    let [n, h, w, _] = x.shape();
    layer.geometry.macs([n, h, w])?; // or the image between has no size
    let ([oh, ow], c) = (layer.geometry.output_size(h, w)?, layer.geometry.cout);
    let mut between = vec![T::CANARY; n * oh * ow * c];
    T::conv_truth(x, None, ImageMut::nhwc(&mut between, n, oh, ow, c)?, layer)?;
    one_by_one(rest, Image::nhwc(&between, n, oh, ow, c)?, residual, y)
}

pub fn fully_connected<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let (cin, cout) = (call.channels(), call.channels());
    let batch = call.draw.size((WORK / cin.saturating_mul(cout).max(1)).clamp(1, 18));
    let layer = Layer::<T>::draw(call, ConvGeometry::new(cin, cout, [1, 1]));
    let [x_len, y_len] = [cin, cout].map(|c| call.len(batch.saturating_mul(c)));
    let x = &*call.values::<T>(&mut memory.x[0], x_len);
    let y = call.canaries::<T>(&mut memory.y, y_len);

    let mut fc = T::fully_connected(call.kernels, &layer);
    let mut bytes = Ok(0);
    if let Ok(fc) = &mut fc {
        join(call, [&mut *fc]);
        bytes = fc.workspace_len(batch, call.parallel.threads);
        let _ = (fc.workspace_len(call.draw.spoilt(batch), call.draw.spoilt(1)), fc.kernel_names());
    }
    let bytes = bytes.unwrap_or(0);
    if batch.saturating_mul(layer.weights.len()) > 3 * WORK || bytes > MOST_WORKSPACE {
        return;
    }
    check(
        &(call.kernels.level, call.parallel, cin, cout, batch, layer.activation, &layer.scales),
        T::exact(call.kernels),
        y,
        |y| T::fully_connected_truth(x, batch, y, &layer),
        |y| {
            let fc = fc?;
            call.in_workspace(bytes, y, |y, workspace, parallel| fc.run(x, batch, y, workspace, parallel))
        },
    );
}

//! All operators but convolutions and their kin.

use super::{Call, MOST_WORKSPACE, View, WORK, check, convolutions::padding, value::Value};
use crate::memory::{Memory, Page};
use arbitrary::Arbitrary;
use kolibri::{
    Activate, Activation, Add, ChannelShuffle, Concat, Error, Image, ImageMut, Lookup, Pool2d, Quantized,
    SqueezeExcite, SqueezeExciteQuantization, SqueezeExciteWeights, Window, copy as copy_image, nchw_to_nhwc,
    nhwc_to_nchw, reference,
};

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Pooling {
    Max,
    Average,
    AverageWithPadding,
    Global,
}

/// A pool, its input and the shape of its output.
#[derive(Clone, Copy, Debug)]
struct PoolCase {
    kind: Pooling,
    window: Window,
    x: [usize; 4],
    y: [usize; 4],
}

impl PoolCase {
    fn draw(call: &mut Call<'_, '_>) -> Self {
        let kind = call.draw.any();
        let mut pair = |most: usize| [call.draw.size(most), call.draw.size(most)];
        let (kernel, stride) = (pair(5), pair(3));
        let dilation = if call.draw.flip() { [1, 1] } else { [call.draw.size(3), call.draw.size(3)] };
        // Below the kernel, or the pool is refused.
        let padding = padding(call, kernel.map(|k| k.saturating_sub(2)), [1, 1]);
        let window = Window { kernel, stride, dilation, padding };
        let c = call.channels();
        let [n, h, w] = call.image(c.saturating_mul(kernel[0]).saturating_mul(kernel[1]));
        let out = if matches!(kind, Pooling::Global) { Ok([1, 1]) } else { window.output_size(h, w) };
        let [oh, ow] = out.unwrap_or([1, 1]);
        PoolCase { kind, window, x: [n, h, w, c], y: [n, oh, ow, c] }
    }

    /// Pixels that the reference looks at, and those of them that are inside the image.
    fn work(&self, y: &View) -> [usize; 2] {
        let [_, h, w, _] = self.x;
        let [kh, kw] = if matches!(self.kind, Pooling::Global) { [h, w] } else { self.window.kernel };
        let outputs = y.shape.iter().fold(1, |all: usize, &size| all.saturating_mul(size));
        [[kh, kw], [kh.min(h), kw.min(w)]].map(|[kh, kw]| outputs.saturating_mul(kh).saturating_mul(kw))
    }

    /// Checks `run` where that is not too much work. A window far larger than its image is too large for the reference alone.
    fn check<T: Value>(
        &self,
        what: &dyn std::fmt::Debug,
        (view, y): (View, &mut [T]),
        truth: impl FnOnce(&mut [T]) -> Result<(), Error>,
        run: impl FnOnce(&mut [T]) -> Result<(), Error>,
    ) {
        let [all, inside] = self.work(&view);
        if all <= 3 * WORK {
            check(&(self, what), true, y, truth, run);
        } else if inside <= 3 * WORK {
            let _ = run(y);
        }
    }
}

pub fn pool(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let case = PoolCase::draw(call);
    let (kind, window) = (case.kind, case.window);
    let x = call.operand::<f32>(&mut memory.x[0], case.x);
    let (view, y) = call.output::<f32>(&mut memory.y, case.y);
    let pool = match kind {
        Pooling::Max => Pool2d::max_on(call.kernels, window),
        Pooling::Average => Pool2d::average_on(call.kernels, window, false),
        Pooling::AverageWithPadding => Pool2d::average_on(call.kernels, window, true),
        Pooling::Global => Ok(Pool2d::global_average_on(call.kernels)),
    };
    case.check(
        &(call.kernels.level, x.view, view),
        (view, y),
        |y| {
            let (x, y) = (x.image()?, view.of_mut(y)?);
            match kind {
                Pooling::Max => reference::max_pool(x, y, &window),
                Pooling::Average => reference::avg_pool(x, y, &window, false),
                Pooling::AverageWithPadding => reference::avg_pool(x, y, &window, true),
                Pooling::Global => reference::global_average(x, y),
            }
        },
        |y| pool?.run(x.image()?, view.of_mut(y)?, &call.parallel),
    );
}

pub fn pool_of_bytes<T: Value + Quantized>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let case = PoolCase::draw(call);
    let (kind, window) = (case.kind, case.window);
    let (x_params, y_params, mode) = (call.params::<T>(1.0), call.params::<T>(1.0), call.mode());
    let clamp = if call.draw.flip() { Some(call.activation(true)) } else { None };
    let padding = T::MIN + call.draw.below(256) as i32;
    let x = call.operand::<T>(&mut memory.x[0], case.x);
    let (view, y) = call.output::<T>(&mut memory.y, case.y);
    let pool = match kind {
        Pooling::Max => Pool2d::<T>::quantized_max_on(call.kernels, window),
        Pooling::Average => Pool2d::quantized_average_on(call.kernels, window),
        Pooling::AverageWithPadding => {
            Pool2d::quantized_average_on(call.kernels, window).and_then(|pool| pool.counting_padding(padding))
        }
        Pooling::Global => Pool2d::global_average_quantized_on(call.kernels, x_params, y_params),
    };
    let pool = pool.and_then(|pool| match clamp {
        None => Ok(pool),
        Some(activation) => pool.with_activation(y_params, activation, mode),
    });
    case.check(
        &(call.kernels.level, padding, x_params, y_params, clamp, mode, x.view, view),
        (view, y),
        |y| {
            // The average, then what is a lookup of its own.
            let mut whole = y.to_vec();
            let (x, to) = (x.image()?, view.of_mut(&mut whole)?);
            match kind {
                Pooling::Max => reference::max_pool_quantized(x, to, &window),
                Pooling::Average => reference::avg_pool_quantized(x, to, &window, None),
                Pooling::AverageWithPadding => reference::avg_pool_quantized(x, to, &window, Some(padding)),
                Pooling::Global => reference::global_average_quantized(x, to, x_params, y_params),
            }?;
            let (from, y) = (view.of(&whole)?, view.of_mut(y)?);
            match clamp {
                None => reference::channel_shuffle(from, y, 1),
                Some(activation) => reference::activate_quantized(from, y, y_params, activation, mode),
            }
        },
        |y| pool?.run(x.image()?, view.of_mut(y)?, &call.parallel),
    );
}

pub fn add(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let (shape, activation) = (call.shape(), call.activation(false));
    let [a_page, b_page, ..] = &mut memory.x;
    let (a, b) = (call.operand::<f32>(a_page, shape), call.operand::<f32>(b_page, shape));
    let (view, y) = call.output::<f32>(&mut memory.y, shape);
    check(
        &(call.kernels.level, activation, a.view, b.view, view),
        call.kernels.fma || activation != Activation::Sigmoid,
        y,
        |y| reference::add(a.image()?, b.image()?, view.of_mut(y)?, activation),
        |y| Add::f32_on(call.kernels, activation)?.run(a.image()?, b.image()?, view.of_mut(y)?, &call.parallel),
    );
}

pub fn add_of_bytes<T: Value + Quantized>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let (shape, activation) = (call.shape(), call.activation(true));
    let [p, q, r] = [call.params::<T>(1.0), call.params::<T>(1.0), call.params::<T>(1.0)];
    let [a_page, b_page, ..] = &mut memory.x;
    let (a, b) = (call.operand::<T>(a_page, shape), call.operand::<T>(b_page, shape));
    let (view, y) = call.output::<T>(&mut memory.y, shape);
    let add = Add::<T>::quantized_on(call.kernels, p, q, r, activation);
    check(
        &(call.kernels.level, [p, q, r], activation, a.view, b.view, view),
        true,
        y,
        |y| reference::add_quantized(a.image()?, b.image()?, view.of_mut(y)?, [p, q, r], activation),
        |y| add?.run(a.image()?, b.image()?, view.of_mut(y)?, &call.parallel),
    );
}

/// What does something to each value, in another image or in place.
fn map<T: Value>(
    call: &mut Call<'_, '_>,
    memory: &mut Memory,
    (what, exact): (&dyn std::fmt::Debug, bool),
    truth: impl FnOnce(Image<'_, T>, ImageMut<'_, T>) -> Result<(), Error>,
    run: impl FnOnce(Option<Image<'_, T>>, ImageMut<'_, T>, &Call<'_, '_>) -> Result<(), Error>,
) {
    let shape = call.shape();
    if call.draw.flip() {
        let x = call.operand::<T>(&mut memory.x[0], shape);
        let (view, y) = call.output::<T>(&mut memory.y, shape);
        let what = &(call.kernels.level, what, x.view, view);
        let truth = |y: &mut [T]| truth(x.image()?, view.of_mut(y)?);
        check(what, exact, y, truth, |y| run(Some(x.image()?), view.of_mut(y)?, call));
    } else {
        let view = View::draw(call, shape);
        let y = call.values::<T>(&mut memory.y, view.len);
        let x = y.to_vec();
        let what = &(call.kernels.level, what, "in place", view);
        check(what, exact, y, |y| truth(view.of(&x)?, view.of_mut(y)?), |y| run(None, view.of_mut(y)?, call));
    }
}

pub fn activate(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let activation = call.activation(false);
    let activate = Activate::f32_on(call.kernels, activation);
    let exact = call.kernels.fma || activation != Activation::Sigmoid;
    let truth = |x: Image<'_>, y: ImageMut<'_>| reference::activate_image(x, y, activation);
    map(call, memory, (&activation, exact), truth, |x, y, call| match x {
        Some(x) => activate?.run(x, y, &call.parallel),
        None => activate?.run_in_place(y, &call.parallel),
    });
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Function {
    Table,
    Rescale,
    Clamp,
    Sigmoid,
    HardSwish,
}

pub fn lookup<T: Value + Quantized>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let function = call.draw.any();
    let (p, q) = (call.params::<T>(1.0), call.params::<T>(1.0));
    let (activation, mode) = (call.activation(true), call.mode());
    let table: [T; 256] = call.random(256).try_into().expect("256 of them");
    let lookup = match function {
        Function::Table => Ok(Lookup::new_on(call.kernels, &table)),
        Function::Rescale => Lookup::rescale_on(call.kernels, p, q),
        Function::Clamp => {
            Lookup::rescale_on(call.kernels, p, p).and_then(|all| all.with_activation(p, activation, mode))
        }
        Function::Sigmoid => Lookup::sigmoid_on(call.kernels, p, q),
        Function::HardSwish => Lookup::hard_swish_on(call.kernels, p, q),
    };
    let truth = |x: Image<'_, T>, y: ImageMut<'_, T>| match function {
        Function::Table => reference::lookup(x, y, &table),
        Function::Rescale => reference::concat_quantized(&[x], y, &[p], q),
        Function::Clamp => reference::activate_quantized(x, y, p, activation, mode),
        Function::Sigmoid => reference::sigmoid_quantized(x, y, p, q),
        Function::HardSwish => reference::hard_swish_quantized(x, y, p, q),
    };
    map(call, memory, (&(function, p, q, activation, mode), true), truth, |x, y, call| match x {
        Some(x) => lookup?.run(x, y, &call.parallel),
        None => lookup?.run_in_place(y, &call.parallel),
    });
}

pub fn concat<T: Value + Quantized>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let [n, h, w] = call.image(64);
    let y_params = call.params::<T>(1.0);
    let images = call.draw.size(memory.x.len()).min(memory.x.len());
    let x: Vec<_> = memory.x[..images]
        .iter_mut()
        .map(|page: &mut Page| {
            let c = call.channels();
            let params = if call.draw.below(3) == 0 { y_params } else { call.params::<T>(1.0) };
            (call.operand::<T>(page, [n, h, w, c]), params)
        })
        .collect();
    let c = x.iter().fold(0, |all: usize, (x, _)| all.saturating_add(x.view.shape[3]));
    let (view, y) = call.output::<T>(&mut memory.y, [n, h, w, c]);
    let params: Vec<_> = x.iter().map(|(_, params)| *params).collect();
    // Once in a while one too few.
    let given = call.len(images).min(images);
    let views = || x[..given].iter().map(|(x, _)| x.image()).collect::<Result<Vec<_>, _>>();
    check(
        &(call.kernels.level, &params, y_params, given, x.iter().map(|(x, _)| x.view).collect::<Vec<_>>(), view),
        true,
        y,
        |y| reference::concat_quantized(&views()?, view.of_mut(y)?, &params, y_params),
        |y| Concat::new_on(call.kernels, &params, y_params)?.run(&views()?, view.of_mut(y)?, &call.parallel),
    );
}

/// Groups, and channels that they divide.
fn groups(call: &mut Call<'_, '_>) -> [usize; 2] {
    let groups = if call.draw.flip() { 1 + call.draw.below(9) } else { call.draw.pick(&[15, 16, 17, 33]) };
    let each = call.draw.size(40);
    [call.draw.spoilt(groups), each.saturating_mul(groups)]
}

pub fn shuffle<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let [groups, c] = groups(call);
    let [n, h, w] = call.image(c.saturating_mul(8));
    let x = call.operand::<T>(&mut memory.x[0], [n, h, w, c]);
    let (view, y) = call.output::<T>(&mut memory.y, [n, h, w, c]);
    check(
        &(call.kernels.level, groups, x.view, view),
        true,
        y,
        |y| reference::channel_shuffle(x.image()?, view.of_mut(y)?, groups),
        |y| ChannelShuffle::new_on(call.kernels, groups)?.run(x.image()?, view.of_mut(y)?, &call.parallel),
    );
}

pub fn shuffle_nchw<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let [groups, c] = groups(call);
    let [n, h, w] = call.image(c.saturating_mul(8));
    let shape = [n, c, h, w];
    let len = shape.iter().fold(1, |all: usize, &size| all.saturating_mul(size));
    let [x_len, y_len] = [call.len(len), call.len(len)];
    let x = &*call.values::<T>(&mut memory.x[0], x_len);
    let y = call.canaries::<T>(&mut memory.y, y_len);
    check(
        &(call.kernels.level, groups, shape, x_len, y_len),
        true,
        y,
        |y| reference::channel_shuffle_nchw(x, y, shape, groups),
        |y| ChannelShuffle::new_on(call.kernels, groups)?.run_nchw(x, y, shape, &call.parallel),
    );
}

pub fn copy<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let shape = call.shape();
    let x = call.operand::<T>(&mut memory.x[0], shape);
    let (view, y) = call.output::<T>(&mut memory.y, shape);
    check(
        &("copy", x.view, view),
        true,
        y,
        |y| reference::channel_shuffle(x.image()?, view.of_mut(y)?, 1),
        |y| copy_image(x.image()?, view.of_mut(y)?, &call.parallel),
    );
}

pub fn to_nhwc<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let shape = call.shape();
    let len = call.len(shape.iter().fold(1, |all: usize, &size| all.saturating_mul(size)));
    let x = &*call.values::<T>(&mut memory.x[0], len);
    let (view, y) = call.output::<T>(&mut memory.y, shape);
    check(
        &("to nhwc", call.kernels.level, len, view),
        true,
        y,
        |y| reference::nchw_to_nhwc(x, view.of_mut(y)?),
        |y| nchw_to_nhwc(call.kernels, x, view.of_mut(y)?, &call.parallel),
    );
}

pub fn to_nchw<T: Value>(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let shape = call.shape();
    let len = call.len(shape.iter().fold(1, |all: usize, &size| all.saturating_mul(size)));
    let x = call.operand::<T>(&mut memory.x[0], shape);
    let y = call.canaries::<T>(&mut memory.y, len);
    check(
        &("to nchw", call.kernels.level, len, x.view),
        true,
        y,
        |y| reference::nhwc_to_nchw(x.image()?, y),
        |y| nhwc_to_nchw(call.kernels, x.image()?, y, &call.parallel),
    );
}

/// Weights and biases of a squeeze-excite.
struct Excite<T: Value> {
    c: usize,
    reduced: usize,
    weights: [Vec<T::Weight>; 2],
    biases: [Option<Vec<T::Bias>>; 2],
}

impl<T: Value> Excite<T> {
    fn draw(call: &mut Call<'_, '_>) -> (Self, [usize; 4]) {
        let (c, reduced) = (call.channels(), call.draw.size(34));
        let [n, h, w] = call.image(c.saturating_mul(16));
        let weights = [(); 2].map(|()| {
            let len = call.len(c.saturating_mul(reduced));
            call.random(len)
        });
        let biases = [reduced, c].map(|outputs| {
            let len = if call.draw.flip() { Some(call.len(outputs)) } else { None };
            len.map(|len| (0..len).map(|_| T::bias(&mut call.rng, call.data)).collect())
        });
        (Excite { c, reduced, weights, biases }, [n, h, w, c])
    }

    fn get(&self) -> SqueezeExciteWeights<'_, T::Weight, T::Bias> {
        let [w_reduce, w_expand] = self.weights.each_ref().map(|weights| &weights[..]);
        let [b_reduce, b_expand] = self.biases.each_ref().map(|bias| bias.as_deref());
        SqueezeExciteWeights { c: self.c, reduced: self.reduced, w_reduce, b_reduce, w_expand, b_expand }
    }
}

/// Runs a squeeze-excite against the reference.
fn excite<T: Value>(
    call: &mut Call<'_, '_>,
    memory: &mut Memory,
    shape: [usize; 4],
    (what, layer): (&dyn std::fmt::Debug, Result<SqueezeExcite<T>, Error>),
    truth: impl FnOnce(Image<'_, T>, ImageMut<'_, T>) -> Result<(), Error>,
) {
    let x = call.operand::<T>(&mut memory.x[0], shape);
    let (view, y) = call.output::<T>(&mut memory.y, shape);
    let mut bytes = Ok(0);
    if let Ok(layer) = &layer {
        let image = x.size();
        bytes = layer.workspace_len(image, call.parallel.threads);
        let image = image.map(|size| call.draw.spoilt(size));
        let _ = (layer.workspace_len(image, call.draw.spoilt(1)), layer.kernel_names());
    }
    let bytes = bytes.unwrap_or(0);
    if bytes > MOST_WORKSPACE {
        return;
    }
    check(
        &(call.kernels.level, call.parallel, what, x.view, view),
        T::exact(call.kernels),
        y,
        |y| truth(x.image()?, view.of_mut(y)?),
        |y| {
            let layer = layer?;
            call.in_workspace(bytes, y, |y, workspace, parallel| {
                layer.run(x.image()?, view.of_mut(y)?, workspace, parallel)
            })
        },
    );
}

pub fn squeeze_excite(call: &mut Call<'_, '_>, memory: &mut Memory) {
    let (parts, shape) = Excite::<f32>::draw(call);
    let weights = &parts.get();
    let layer = SqueezeExcite::f32_on(call.kernels, weights);
    excite(call, memory, shape, (&parts.reduced, layer), |x, y| reference::squeeze_excite(x, y, weights));
}

pub fn squeeze_excite_of_bytes<T: Value<Weight = i8, Bias = i32> + Quantized>(
    call: &mut Call<'_, '_>,
    memory: &mut Memory,
) {
    let (parts, shape) = Excite::<T>::draw(call);
    let weights = &parts.get();
    let mut scales = |outputs: usize| {
        let len = if call.draw.flip() { 1 } else { call.len(outputs) };
        let scale = call.scale(1.0 / 64.0);
        vec![scale; len]
    };
    let (reduce_scales, expand_scales) = (scales(parts.reduced), scales(parts.c));
    let mut params = |about| call.params::<T>(about);
    let (x, average, reduced) = (params(1.0), params(1.0), params(0.05));
    let (expanded, gate, y) = (params(0.05), params(1.0 / 256.0), params(1.0));
    let mode = call.mode();
    let (reduce_scales, expand_scales) = (&reduce_scales[..], &expand_scales[..]);
    let q = &SqueezeExciteQuantization { x, average, reduce_scales, reduced, expand_scales, expanded, gate, y, mode };
    let layer = SqueezeExcite::<T>::quantized_on(call.kernels, weights, q);
    let what = &(parts.reduced, q);
    excite(call, memory, shape, (what, layer), |x, y| reference::squeeze_excite_quantized(x, y, weights, q));
}

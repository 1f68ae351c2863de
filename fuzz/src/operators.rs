//! Programs of operators: each call on a level of this CPU and with lent threads, compared with the scalar reference.

mod convolutions;
mod others;
mod value;

pub use convolutions::{Layer, macs, one_by_one};
pub use value::{Data, Rng, Scales, Value};

use crate::{
    draw::Draw,
    memory::{MEMORY, Memory, Page},
};
use arbitrary::Arbitrary;
use kolibri::{
    Activation, Error, Image, ImageMut, Level, Parallel, QuantParams, Quantized, Requantization, Workspace,
    kernels::Kernels,
};
use std::fmt::Debug;

/// Multiply-adds of a call, about: the reference is slow.
const WORK: usize = 20_000;
/// Elements of a buffer, at most.
pub const MOST: usize = 1 << 14;
/// Bytes of a workspace, at most; calls that want more are not run.
const MOST_WORKSPACE: usize = 1 << 24;
/// Calls of a program, at most.
const CALLS: usize = 4;

/// Channels around the edges of registers, panels and blocks.
pub const CHANNELS: [usize; 16] = [1, 2, 3, 4, 7, 8, 9, 16, 17, 24, 31, 32, 33, 58, 65, 100];

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operator {
    Convolution,
    Chain,
    FullyConnected,
    Pool,
    Add,
    Activate,
    SqueezeExcite,
    Concat,
    Shuffle,
    ShuffleNchw,
    Copy,
    ToNhwc,
    ToNchw,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Element {
    F32,
    I8,
    U8,
}

/// What the calls have in common.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Header {
    operator: Operator,
    element: Element,
    data: Data,
    /// One call in four is hostile.
    manners: u8,
    level: u8,
    threads: u8,
    seed: u16,
}

/// Runs the program that `data` is.
pub fn operators(data: &[u8]) {
    let mut draw = Draw::new(data);
    let mut workspace = Workspace::default();
    MEMORY.with_borrow_mut(|memory| {
        for _ in 0..CALLS {
            if draw.is_empty() {
                break;
            }
            draw.hostile = false;
            let header: Header = draw.any();
            draw.hostile = header.manners >= 192;
            Call::new(&mut draw, &header, &mut workspace).run(&header, memory);
        }
    });
}

/// Threads that are none: tasks run one after the other, in any order, and some are asked for twice or do not exist.
#[derive(Clone, Copy, Debug)]
struct Scrambled {
    threads: usize,
    seed: u64,
}

impl Parallel for Scrambled {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let mut rng = Rng::new(self.seed);
        (0..tasks).for_each(|_| task(rng.next() as usize % (tasks + 1)));
        task(usize::MAX);
        (0..tasks).for_each(task);
    }
}

/// A call in the making.
pub struct Call<'a, 'd> {
    draw: &'a mut Draw<'d>,
    rng: Rng,
    data: Data,
    kernels: &'static Kernels,
    parallel: Scrambled,
    /// What calls before left.
    workspace: &'a mut Workspace,
}

impl<'a, 'd> Call<'a, 'd> {
    fn new(draw: &'a mut Draw<'d>, header: &Header, workspace: &'a mut Workspace) -> Self {
        let levels = Level::available().count();
        let level = Level::available().filter_map(Level::kernels).nth(usize::from(header.level) % levels);
        let kernels = level.expect("it is available");
        let threads = draw.spoilt([1, 1, 2, 3, 4, 8][usize::from(header.threads) % 6]);
        let seed = u64::from(header.seed);
        Call { draw, rng: Rng::new(seed), data: header.data, kernels, parallel: Scrambled { threads, seed }, workspace }
    }

    fn run(&mut self, header: &Header, memory: &mut Memory) {
        macro_rules! of {
            ($f32:expr, $bytes:ident) => {
                match header.element {
                    Element::F32 => $f32(self, memory),
                    Element::I8 => others::$bytes::<i8>(self, memory),
                    Element::U8 => others::$bytes::<u8>(self, memory),
                }
            };
        }
        macro_rules! any {
            ($module:ident, $any:ident) => {
                match header.element {
                    Element::F32 => $module::$any::<f32>(self, memory),
                    Element::I8 => $module::$any::<i8>(self, memory),
                    Element::U8 => $module::$any::<u8>(self, memory),
                }
            };
        }
        match header.operator {
            Operator::Convolution => any!(convolutions, convolution),
            Operator::Chain => any!(convolutions, chain),
            Operator::FullyConnected => any!(convolutions, fully_connected),
            Operator::Pool => of!(others::pool, pool_of_bytes),
            Operator::Add => of!(others::add, add_of_bytes),
            Operator::Activate => of!(others::activate, lookup),
            Operator::SqueezeExcite => of!(others::squeeze_excite, squeeze_excite_of_bytes),
            Operator::Concat => of!(others::copy::<f32>, concat),
            Operator::Shuffle => any!(others, shuffle),
            Operator::ShuffleNchw => any!(others, shuffle_nchw),
            Operator::Copy => any!(others, copy),
            Operator::ToNhwc => any!(others, to_nhwc),
            Operator::ToNchw => any!(others, to_nchw),
        }
    }

    fn channels(&mut self) -> usize {
        let channels = if self.draw.flip() { self.draw.pick(&CHANNELS) } else { 1 + self.draw.below(72) };
        self.draw.spoilt(channels)
    }

    /// Batch, height, width of an image of which each pixel takes so much work.
    fn image(&mut self, work: usize) -> [usize; 3] {
        let pixels = (WORK / work.max(1)).max(1);
        let h = 1 + self.draw.below(pixels.min(16));
        let w = 1 + self.draw.below((pixels / h).clamp(1, 24));
        let n = 1 + self.draw.below((pixels / (h * w)).clamp(1, 3));
        [n, h, w].map(|size| self.draw.spoilt(size))
    }

    fn shape(&mut self) -> [usize; 4] {
        let c = self.channels();
        let [n, h, w] = self.image(c.saturating_mul(8));
        [n, h, w, c]
    }

    /// An activation; on bytes those that are functions are mostly left out, as they are refused.
    fn activation(&mut self, of_bytes: bool) -> Activation {
        let infinity = f32::INFINITY;
        let bounds = [(0.0, 6.0), (-0.5, 0.25), (-infinity, infinity), (-0.0, 0.0), (0.25, 0.25), (-1e30, 1e-30)];
        let wrong = [(f32::NAN, 1.0), (0.0, f32::NAN), (1.0, 0.0), (infinity, -infinity)];
        let bounds = self.draw.pick(&bounds);
        let (min, max) = self.draw.or_wrong(bounds, &wrong);
        let all = [
            Activation::None,
            Activation::Relu,
            Activation::Relu6,
            Activation::Clamp { min, max },
            Activation::HardSwish,
            Activation::Sigmoid,
        ];
        let some = if of_bytes && !self.draw.hostile { 4 } else { 6 };
        self.draw.pick(&all[..some])
    }

    fn scale(&mut self, about: f32) -> f32 {
        let exponent = self.draw.below(13) as f32 - 6.0;
        let scale = about * exponent.exp2() * (1.0 + self.draw.below(256) as f32 / 256.0);
        let tiny = f32::from_bits(1);
        self.draw.or_wrong(scale, &[0.0, -1.0, f32::NAN, f32::INFINITY, tiny, f32::MIN_POSITIVE, f32::MAX, 1e20, 1e-20])
    }

    fn params<T: Quantized>(&mut self, about: f32) -> QuantParams {
        let scale = self.scale(about);
        let zero_point = T::MIN + self.draw.below(256) as i32;
        let zero_point = self.draw.or_wrong(zero_point, &[T::MIN - 1, T::MAX + 1, i32::MIN, i32::MAX]);
        QuantParams { scale, zero_point }
    }

    fn mode(&mut self) -> Requantization {
        self.draw.pick(&[Requantization::FloatScale, Requantization::TfliteDouble])
    }

    fn random<T: Value>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| T::random(&mut self.rng, self.data)).collect()
    }

    /// The length of a slice that should have `len` elements.
    fn len(&mut self, len: usize) -> usize {
        self.draw.spoilt(len).min(MOST)
    }

    /// So many values in a page, at one of its ends.
    fn values<'m, T: Value>(&mut self, page: &'m mut Page, len: usize) -> &'m mut [T] {
        let slice = page.slice(len, self.draw.flip());
        slice.iter_mut().for_each(|value| *value = T::random(&mut self.rng, self.data));
        slice
    }

    /// As many that no operator computes.
    fn canaries<'m, T: Value>(&mut self, page: &'m mut Page, len: usize) -> &'m mut [T] {
        let slice = page.slice(len, self.draw.flip());
        slice.fill(T::CANARY);
        slice
    }

    /// An image of about that shape.
    fn operand<'m, T: Value>(&mut self, page: &'m mut Page, shape: [usize; 4]) -> Operand<'m, T> {
        let view = View::draw(self, shape);
        Operand { view, data: self.values(page, view.len) }
    }

    /// Where an output of about that shape goes.
    fn output<'m, T: Value>(&mut self, page: &'m mut Page, shape: [usize; 4]) -> (View, &'m mut [T]) {
        let view = View::draw(self, shape);
        (view, self.canaries(page, view.len))
    }

    /// Runs in a workspace as long as it must be, or in what calls before left; not in a shorter one, where nothing may be
    /// written.
    fn in_workspace<T: Value>(
        &mut self,
        bytes: usize,
        y: &mut [T],
        mut run: impl FnMut(&mut [T], &mut Workspace, &dyn Parallel) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let parallel = self.parallel;
        if self.draw.hostile {
            let mut short = Workspace::new(bytes.saturating_sub(self.draw.size(64)).min(MOST_WORKSPACE))?;
            if short.len() < bytes {
                let before = y.to_vec();
                let result = run(y, &mut short, &parallel);
                assert!(result.is_err(), "ran in {} of {bytes} bytes", short.len());
                assert!(y.iter().zip(&before).all(|(a, b)| a.same(*b)), "written in {} of {bytes} bytes", short.len());
            }
        }
        if self.draw.flip() {
            self.workspace.grow(bytes)?;
            run(y, self.workspace, &parallel)
        } else {
            run(y, &mut Workspace::new(bytes)?, &parallel)
        }
    }
}

/// An image in a buffer: its channels are those from `first` on of pixels `stride` apart.
#[derive(Clone, Copy, Debug)]
struct View {
    shape: [usize; 4],
    first: usize,
    stride: usize,
    /// Of the buffer.
    len: usize,
}

impl View {
    fn draw(call: &mut Call<'_, '_>, shape: [usize; 4]) -> View {
        let draw = &mut *call.draw;
        let shape @ [n, h, w, c] = shape.map(|size| draw.spoilt(size));
        let first: usize = draw.pick(&[0, 0, 1, 5]);
        let stride = first.saturating_add(c).saturating_add(draw.pick(&[0, 0, 1, 16]));
        let stride = draw.spoilt(stride);
        // Nothing follows the last pixel, or all of its stride.
        let behind = draw.flip();
        let len = || {
            let all = n.checked_mul(h)?.checked_mul(w)?.checked_mul(stride)?;
            if behind { Some(all) } else { all.checked_sub(stride)?.checked_add(first)?.checked_add(c) }
        };
        let len = len().unwrap_or(0);
        View { shape, first, stride, len: call.len(len) }
    }

    fn channels(&self) -> usize {
        self.first.saturating_add(self.shape[3])
    }

    fn of<'a, T>(&self, data: &'a [T]) -> Result<Image<'a, T>, Error> {
        let [n, h, w, _] = self.shape;
        Image::strided(data, n, h, w, self.channels(), self.stride)?.channels(self.first..self.channels())
    }

    fn of_mut<'a, T>(&self, data: &'a mut [T]) -> Result<ImageMut<'a, T>, Error> {
        let [n, h, w, _] = self.shape;
        ImageMut::strided(data, n, h, w, self.channels(), self.stride)?.channels(self.first..self.channels())
    }
}

/// An image that is read.
#[derive(Debug)]
struct Operand<'m, T> {
    view: View,
    data: &'m [T],
}

impl<'m, T> Operand<'m, T> {
    fn image(&self) -> Result<Image<'m, T>, Error> {
        self.view.of(self.data)
    }

    /// Batch, height, width.
    fn size(&self) -> [usize; 3] {
        let [n, h, w, _] = self.view.shape;
        [n, h, w]
    }
}

/// Both fill `y`, or both refuse to and leave it as it was. Where bits need not be the same, that is all; and what the
/// reference does not compute stays.
fn check<T: Value>(
    what: &dyn Debug,
    exact: bool,
    y: &mut [T],
    truth: impl FnOnce(&mut [T]) -> Result<(), Error>,
    run: impl FnOnce(&mut [T]) -> Result<(), Error>,
) {
    let before = y.to_vec();
    let mut expected = before.clone();
    let (truth, result) = (truth(&mut expected), run(y));
    assert_eq!(truth.is_ok(), result.is_ok(), "{what:?}: the reference {truth:?}, the operator {result:?}");
    for (i, (got, expected)) in y.iter().zip(&expected).enumerate() {
        let computed = !expected.same(before[i]);
        assert!(!computed || truth.is_ok(), "{what:?}: at {i} the reference wrote {expected:?}, then {truth:?}");
        let same = got.same(*expected) || computed && !exact;
        assert!(same, "{what:?}: at {i} got {got:?}, expected {expected:?}, {result:?}");
    }
}

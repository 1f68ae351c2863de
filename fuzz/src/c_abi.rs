//! The C ABI as callers use and misuse it. Arrays are as long as they say, or so long that nothing could be; all else may be
//! wrong. What is accepted must come out as the scalar reference has it, which reads the same structs by itself; what is
//! refused leaves the output alone.

mod make;
mod pages;
mod truth;

use crate::{
    draw::Draw,
    operators::{Data, Element, MOST, Rng},
};
use arbitrary::Arbitrary;
use kolibri::capi::*;
use make::keep_dtype;
use pages::{PAGES, Pages};
use std::{
    ffi::{c_char, c_void},
    ptr::{null, null_mut},
};
use truth::Truth;

/// Multiply-adds of a run, about: edges of tiles are for the other target, here calls count.
const WORK: usize = 2000;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Conv,
    Depthwise,
    Chain,
    FullyConnected,
    Pool,
    Add,
    Activate,
    Shuffle,
    SqueezeExcite,
    Copy,
    ToNhwc,
    ToNchw,
    Bytes,
    Names,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    element: Element,
    data: Data,
    /// One call in three is hostile, and every second of those overwrites fields with anything.
    manners: u8,
    level: u8,
    seed: u16,
}

/// Makes, queries and runs the operator that `data` is.
pub fn c_abi(data: &[u8]) {
    let mut draw = Draw::new(data);
    let header: Header = draw.any();
    draw.hostile = header.manners >= 170;
    let (rough, rng) = (header.manners >= 213, Rng::new(header.seed.into()));
    PAGES.with_borrow_mut(|pages| {
        pages.reset();
        let mut caller = Caller { draw: &mut draw, rng, data: header.data, pages, rough, level: null() };
        caller.level = caller.level(header.level);
        match header.element {
            Element::F32 => caller.call::<f32>(header.kind),
            Element::I8 => caller.call::<i8>(header.kind),
            Element::U8 => caller.call::<u8>(header.kind),
        }
    });
}

/// Who calls, and the memory that they have.
struct Caller<'a, 'd> {
    draw: &'a mut Draw<'d>,
    rng: Rng,
    data: Data,
    pages: &'a mut Pages,
    rough: bool,
    level: *const c_char,
}

/// A handle, which is destroyed at the end.
struct Handle(*mut kolibri_operator);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by the library, and nobody else has it.
        unsafe { kolibri_destroy(self.0) }
    }
}

/// What a failure looks like.
fn check_failure(status: kolibri_status) {
    assert_ne!(status, kolibri_status::InternalError);
    let mut text = [1 as c_char; 16];
    // SAFETY: the buffer is as long as it says.
    let len = unsafe { kolibri_last_error(text.as_mut_ptr(), text.len()) };
    assert!(len > 0 && text[len.min(15)] == 0, "{status:?} without a message");
}

impl Caller<'_, '_> {
    fn call<T: Truth>(&mut self, kind: Kind) {
        match kind {
            Kind::Copy => self.copy::<T>(),
            Kind::ToNhwc => self.nchw_to_nhwc::<T>(),
            Kind::ToNchw => self.nhwc_to_nchw::<T>(),
            Kind::Bytes => self.bytes::<T>(),
            Kind::Names => self.names(),
            _ => self.operator::<T>(kind),
        }
    }

    /// An image of about that shape, as large as it says, of values that `value` gives.
    fn image<T: Truth>(&mut self, shape: [usize; 4], value: impl FnMut(&mut Rng, Data) -> T) -> kolibri_image {
        let [n, h, w, c] = shape.map(|size| self.draw.spoilt(size));
        let more = self.draw.pick(&[0, 0, 1, 16]);
        let stride = c.saturating_add(more);
        let pixels = n.saturating_mul(h).saturating_mul(w);
        let len = pixels.saturating_sub(1).saturating_mul(stride).saturating_add(c);
        let (data, len) = self.array(len, value);
        let pixel_stride = if more == 0 && self.draw.flip() { 0 } else { self.draw.spoilt(stride) };
        let (struct_size, dtype) = (self.struct_size::<kolibri_image>(), self.dtype::<T>());
        kolibri_image { struct_size, dtype, data: data.cast(), len, n, h, w, c, pixel_stride }
    }

    fn input<T: Truth>(&mut self, shape: [usize; 4]) -> *const kolibri_image {
        let image = self.image::<T>(shape, T::random);
        self.put(image, keep_image)
    }

    /// Where an output of about that shape goes: in memory of its own, or in hostile calls in that of the input.
    fn output<T: Truth>(&mut self, shape: [usize; 4], x: *const kolibri_image) -> *const kolibri_image_mut {
        let mut image = self.image::<T>(shape, |_, _| T::CANARY);
        if self.draw.hostile && self.draw.below(16) == 0 && !x.is_null() {
            // SAFETY: put there before.
            let x = unsafe { x.read_unaligned() };
            let after = self.draw.below(9).min(x.len);
            if !x.data.is_null() && x.len <= MOST {
                image.data = x.data.cast::<T>().wrapping_add(after).cast();
                image.len = x.len - after;
                image.pixel_stride = self.draw.pick(&[image.pixel_stride, x.pixel_stride]);
            }
        }
        let kolibri_image { struct_size, dtype, data, len, n, h, w, c, pixel_stride } = image;
        let data = data.cast_mut();
        let image = kolibri_image_mut { struct_size, dtype, data, len, n, h, w, c, pixel_stride };
        self.put(image, |to, held| {
            keep_dtype(&mut to.dtype, held.dtype);
            (to.data, to.len) = (held.data, held.len);
        })
    }

    /// Threads that may be none, or not do what they should. Whether they do.
    fn parallel(&mut self) -> (*const kolibri_parallel, usize, bool) {
        let threads = self.draw.pick(&[0, 1, 2, 3, 8]);
        if threads == 0 {
            return (null(), 1, true);
        }
        let lazy = self.draw.hostile && self.draw.below(16) == 0;
        let lent = Lent { seed: self.rng.next(), lazy };
        // SAFETY: a struct of numbers, as bytes.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const lent).cast::<u8>(), size_of::<Lent>()) };
        let ctx = self.pages.copy(bytes, false).cast_mut().cast();
        let parallel = kolibri_parallel {
            struct_size: self.struct_size::<kolibri_parallel>(),
            threads: self.draw.spoilt(threads),
            parallel_for: if self.draw.or_wrong(true, &[false]) { Some(scrambled) } else { None },
            ctx,
        };
        (self.put(parallel, |to, held| (to.parallel_for, to.ctx) = (held.parallel_for, held.ctx)), threads, !lazy)
    }

    fn operator<T: Truth>(&mut self, kind: Kind) {
        let made = self.make::<T>(kind);
        let mut handle = Handle(null_mut());
        let to = if self.draw.hostile && self.draw.below(64) == 0 { null_mut() } else { &raw mut handle.0 };
        // SAFETY: what was made leads to what it says.
        let status = unsafe { made.create(to) };
        if status != kolibri_status::Success {
            check_failure(status);
            assert!(handle.0.is_null());
        }
        // SAFETY: as above.
        let (about, work) = unsafe { made.image::<T>() };
        let c = about.unwrap_or_else(|| self.channels());
        let [n, h, w] = self.size(work);
        let shape = [n, h, w, c];

        let ask = shape.map(|size| self.draw.spoilt(size));
        let mut out = [0; 4];
        // SAFETY: a handle or NULL, four sizes.
        let status = unsafe { kolibri_output_shape(handle.0, ask.as_ptr(), out.as_mut_ptr()) };
        if status != kolibri_status::Success {
            check_failure(status);
            assert_eq!(out, [0; 4]);
            out = ask;
        }
        let x = self.input::<T>(shape);
        let b_given = match kind {
            Kind::Add => self.draw.or_wrong(true, &[false]),
            Kind::Conv | Kind::Depthwise | Kind::Chain => self.draw.flip(),
            _ => self.draw.or_wrong(false, &[true]),
        };
        let b = match b_given {
            true if self.draw.below(4) == 0 => x,
            true => self.input::<T>(out),
            false => null(),
        };
        let y = self.output::<T>(out, x);
        let (parallel, threads, all) = self.parallel();
        let mut bytes = 0;
        // SAFETY: as above.
        let status = unsafe { kolibri_workspace_size(handle.0, shape.as_ptr(), threads, &mut bytes) };
        if status != kolibri_status::Success {
            check_failure(status);
        }
        // SAFETY: the images lead to what they say, where they are there.
        let busy = unsafe { made.is_too_much::<T>(x) };
        if bytes > Pages::LARGEST / 2 || busy {
            return;
        }
        let wrong = [bytes.saturating_sub(64), bytes / 2, 0, usize::MAX];
        let bytes = self.draw.or_wrong(bytes, &wrong);
        let shift = self.draw.pick(&[0, 1, 8]);
        let workspace = match self.draw.or_wrong(true, &[false]) {
            true => self.pages.take(bytes.min(Pages::LARGEST / 2) + shift, true),
            false => null_mut(),
        };
        // SAFETY: all that is passed is as large as it says, and handles are none's but ours.
        unsafe {
            self.compare::<T>(
                y,
                all,
                |y| made.truth::<T>(x, b, y),
                || kolibri_run(handle.0, x, b, y, workspace.cast(), bytes, parallel),
            );
        }
    }

    /// Runs `run`, then holds what `y` became against what `truth` makes of it.
    ///
    /// # Safety
    /// `y` is NULL or leads to a description of memory that is as long as it says, or longer than anything is.
    unsafe fn compare<T: Truth>(
        &mut self,
        y: *const kolibri_image_mut,
        all: bool,
        truth: impl FnOnce(&kolibri_image_mut) -> Result<(), Refused>,
        run: impl FnOnce() -> kolibri_status,
    ) {
        // SAFETY: as promised by the caller.
        let held = unsafe { y.as_ref().map(|_| y.read_unaligned()) };
        let memory = held.filter(|y| !y.data.is_null() && y.data.cast::<T>().is_aligned() && y.len <= MOST);
        // SAFETY: as above.
        let now = |y: &kolibri_image_mut| unsafe { std::slice::from_raw_parts(y.data.cast::<T>(), y.len).to_vec() };
        let before = memory.as_ref().map_or(vec![], now);
        let mut expected = before.clone();
        let truth = match memory {
            Some(y) => truth(&kolibri_image_mut { data: expected.as_mut_ptr().cast(), ..y }),
            None => Err(Refused),
        };
        let status = run();
        let after = memory.as_ref().map_or(vec![], now);
        if status != kolibri_status::Success {
            check_failure(status);
            assert!(self.draw.hostile || truth.is_err(), "{status:?}, which the reference computes");
            assert!(
                !all || after.iter().zip(&before).all(|(a, b)| a.same(*b)),
                "{status:?}, and something was written"
            );
            return;
        }
        assert!(truth.is_ok(), "the reference refuses it");
        // SAFETY: a name or NULL.
        let exact = unsafe { truth::kernels(self.level) }.is_some_and(T::exact);
        for (i, (got, expected)) in after.iter().zip(&expected).enumerate() {
            let untouched = expected.same(before[i]);
            assert!(got.same(*expected) || !exact && !untouched, "{i}: {got:?}, the reference {expected:?}");
        }
    }

    fn copy<T: Truth>(&mut self) {
        let c = self.channels();
        let [n, h, w] = self.size(c);
        let x = self.input::<T>([n, h, w, c]);
        let y = self.output::<T>([n, h, w, c], x);
        let (parallel, _, all) = self.parallel();
        // SAFETY: all that is passed is as large as it says.
        unsafe {
            self.compare::<T>(y, all, |y| truth::copy::<T>(x, y), || kolibri_copy(x, y, parallel));
        }
    }

    fn nchw_to_nhwc<T: Truth>(&mut self) {
        let c = self.channels();
        let [n, h, w] = self.size(c);
        let (x, len) = self.array(n.saturating_mul(h).saturating_mul(w).saturating_mul(c), T::random);
        let y = self.output::<T>([n, h, w, c], null());
        let (parallel, _, all) = self.parallel();
        let call = || {
            // SAFETY: all that is passed is as large as it says.
            unsafe { kolibri_nchw_to_nhwc(x.cast_const().cast(), len, y, parallel) }
        };
        // SAFETY: as above.
        unsafe { self.compare::<T>(y, all, |y| truth::to_nhwc::<T>(x, len, y), call) };
    }

    fn nhwc_to_nchw<T: Truth>(&mut self) {
        let c = self.channels();
        let [n, h, w] = self.size(c);
        let x = self.input::<T>([n, h, w, c]);
        let (y, len) = self.array(n.saturating_mul(h).saturating_mul(w).saturating_mul(c), |_, _| T::CANARY);
        let (parallel, _, all) = self.parallel();
        // Compared as if it were an image.
        let (struct_size, dtype) = (size_of::<kolibri_image_mut>(), T::DTYPE);
        let data = y.cast();
        let as_image = kolibri_image_mut { struct_size, dtype, data, len, n: 1, h: 1, w: 1, c: len, pixel_stride: 0 };
        // SAFETY: all that is passed is as large as it says.
        unsafe {
            let run = || kolibri_nhwc_to_nchw(x, y.cast(), len, parallel);
            self.compare::<T>(&as_image, all, |y| truth::to_nchw::<T>(x, y), run);
        }
    }

    /// From real numbers to bytes and back.
    fn bytes<T: Truth>(&mut self) {
        let params = self.params::<T>(1.0);
        let (dtype, len) = (self.dtype::<T>(), 1 + self.draw.below(300));
        let (x, x_len) = self.array(len, <f32 as crate::operators::Value>::random);
        let (y, y_len) = self.array(len, |_, _| T::CANARY);
        let len = if x_len.max(y_len) > MOST { usize::MAX } else { x_len.min(y_len) };
        // SAFETY: both arrays have as many elements.
        let status = unsafe { kolibri_quantize(x, y.cast(), len, dtype, params) };
        if status != kolibri_status::Success {
            return check_failure(status);
        }
        // SAFETY: as above; it was accepted.
        unsafe { T::check_bytes(x, y, len, params) };
        // SAFETY: as above.
        let status = unsafe { kolibri_dequantize(y.cast_const().cast(), x, len, dtype, params) };
        assert_eq!(status, kolibri_status::Success);
        // SAFETY: as above.
        unsafe { T::check_reals(x, y, len, params) };
    }

    /// Names go into buffers of any length.
    fn names(&mut self) {
        let len = self.draw.below(20);
        let buffer = self.pages.take(len, true).cast::<c_char>();
        let index = self.draw.spoilt(self.rng.next() as usize % 400);
        let mut length = usize::MAX;
        // SAFETY: the buffer is as long as it says.
        let status = unsafe {
            match self.draw.below(3) {
                0 => kolibri_level(index, buffer, len, &mut length),
                1 => kolibri_selected_level(buffer, len, &mut length),
                _ => kolibri_kernel(self.level, index, buffer, len, &mut length),
            }
        };
        match status {
            kolibri_status::Success => assert!((1..64).contains(&length)),
            status => check_failure(status),
        }
    }
}

/// What the reference does not compute either.
#[derive(Debug)]
struct Refused;

fn keep_image(to: &mut kolibri_image, held: &kolibri_image) {
    keep_dtype(&mut to.dtype, held.dtype);
    (to.data, to.len) = (held.data, held.len);
}

/// How threads are lent.
#[derive(Clone, Copy)]
struct Lent {
    seed: u64,
    /// The last task is left out.
    lazy: bool,
}

/// Runs tasks in any order, some of them more than once, and some that do not exist.
unsafe extern "C" fn scrambled(ctx: *mut c_void, n: usize, task: kolibri_task, arg: *mut c_void) {
    // SAFETY: what `parallel` put there.
    let Lent { seed, lazy } = unsafe { ctx.cast::<Lent>().read_unaligned() };
    let mut rng = Rng::new(seed);
    let n = if lazy { n - 1 } else { n };
    let run = |i| {
        // SAFETY: while `parallel_for` runs.
        unsafe { task.expect("a task")(arg, i) }
    };
    if !lazy {
        (0..n / 2).for_each(|_| run(rng.next() as usize % (n + 1)));
        run(usize::MAX);
    }
    (0..n).rev().for_each(run);
}

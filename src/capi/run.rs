//! What there is for every operator: queries, and the run.

use super::{
    describe::*,
    input::{self, Dtype, WORKSPACE_ALIGN},
    kolibri_status, kolibri_status as Status,
    operator::{Images, Operator, Run, check_second, kolibri_operator},
    status::{Fault, copy_out, guard},
};
use crate::{Error, Parallel, Serial};
use core::{
    ffi::{c_char, c_void},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// `$body` of whatever operator there is.
macro_rules! with {
    ($operator:expr, $run:ident => $body:expr) => {
        match &$operator.0 {
            Operator::F32($run) => $body,
            #[cfg(feature = "int8")]
            Operator::I8($run) => $body,
            #[cfg(feature = "int8")]
            Operator::U8($run) => $body,
        }
    };
}

/// # Safety
/// `op` is NULL or a handle that lives as long as `'a`.
unsafe fn handle<'a>(op: *const kolibri_operator) -> Result<&'a kolibri_operator, Fault> {
    // SAFETY: as promised by the caller.
    unsafe { op.as_ref() }.ok_or_else(|| input::null("op"))
}

/// # Safety
/// `shape` is NULL or valid for reads of four sizes.
unsafe fn shape(argument: &str, shape: *const usize) -> Result<[usize; 4], Fault> {
    if shape.is_null() {
        return Err(input::null(argument));
    }
    // SAFETY: as promised by the caller.
    let shape = unsafe { shape.cast::<[usize; 4]>().read_unaligned() };
    let sizes = [("batch", shape[0]), ("height", shape[1]), ("width", shape[2]), ("channels", shape[3])];
    crate::error::non_zero(&sizes)?;
    Ok(shape)
}

/// Says what shape an output has.
///
/// - `op`: a handle, not NULL.
/// - `x`: batch, height, width and channels of the input; four sizes, not NULL.
/// - `y`: takes those of the output; four sizes, not NULL. Not written where the call fails.
///
/// Errors: `INVALID_NULL`, `INVALID_ZERO`, `INVALID_WINDOW`, `INVALID_OVERFLOW`. Whether the operator takes that many
/// channels is told by the run.
///
/// # Safety
/// `op` is NULL or a handle that was not destroyed, the others NULL or valid for four sizes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_output_shape(
    op: *const kolibri_operator,
    x: *const usize,
    y: *mut usize,
) -> kolibri_status {
    guard(|| {
        // SAFETY: as promised by the caller.
        let (operator, x) = unsafe { (handle(op)?, shape("x", x)?) };
        if y.is_null() {
            return Err(input::null("y"));
        }
        let shape = with!(operator, run => run.output_shape(x)?);
        // SAFETY: as promised by the caller.
        unsafe { y.cast::<[usize; 4]>().write_unaligned(shape) };
        Ok(())
    })
}

/// Says how much workspace a run needs.
///
/// - `op`: a handle, not NULL.
/// - `x`: batch, height, width and channels of the input; four sizes, not NULL.
/// - `threads`: those of the `kolibri_parallel` of the run, or 1. Not 0.
/// - `size`: takes bytes, of memory that need not be aligned; 0 where none is needed. Not NULL; not written where the call
///   fails.
///
/// Errors: `INVALID_NULL`, `INVALID_ZERO`, `INVALID_WINDOW`, `INVALID_OVERFLOW`, `INVALID_PARALLEL`.
///
/// # Safety
/// `op` is NULL or a handle that was not destroyed, `x` NULL or valid for reads of four sizes, `size` NULL or valid
/// for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_workspace_size(
    op: *const kolibri_operator,
    x: *const usize,
    threads: usize,
    size: *mut usize,
) -> kolibri_status {
    guard(|| {
        // SAFETY: as promised by the caller.
        let (operator, x) = unsafe { (handle(op)?, shape("x", x)?) };
        if size.is_null() {
            return Err(input::null("size"));
        }
        if threads == 0 {
            return Err(no_threads());
        }
        let bytes = with!(operator, run => run.workspace_len(x, threads)?);
        // SAFETY: as promised by the caller.
        unsafe { size.write_unaligned(with_slack(bytes)) };
        Ok(())
    })
}

/// Room to begin at a whole line. Sizes of the crate are far from `usize::MAX`.
fn with_slack(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + WORKSPACE_ALIGN - 1 }
}

fn no_threads() -> Fault {
    Fault::new(Status::InvalidParallel, "threads: must not be zero")
}

/// Names a kernel that an operator uses on images of usual size.
///
/// - `op`: a handle, not NULL.
/// - `index`: which, from 0 on.
/// - `buffer`: the caller's; takes as much of the name as fits, always ended by a NUL. May be NULL, and is not written
///   then.
/// - `len`: bytes of `buffer`.
/// - `length`: takes the length of the whole name in bytes, without the NUL; may be NULL.
///
/// Errors: `INVALID_NULL`, `INVALID_INDEX` past the last.
///
/// # Safety
/// `op` is NULL or a handle that was not destroyed, `buffer` NULL or valid for writes of `len` bytes, `length` NULL
/// or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_operator_kernel(
    op: *const kolibri_operator,
    index: usize,
    buffer: *mut c_char,
    len: usize,
    length: *mut usize,
) -> kolibri_status {
    guard(|| {
        // SAFETY: as promised by the caller.
        let operator = unsafe { handle(op)? };
        let names = with!(operator, run => run.kernel_names());
        // SAFETY: as promised by the caller.
        unsafe { copy_out(names.get(index).copied(), buffer, len, length) }
    })
}

/// Runs an operator.
///
/// - `op`: a handle, not NULL. Any number of threads may run it at the same time, each with a workspace of its own.
/// - `x`: the input, not NULL.
/// - `b`: the second input: of a convolution and of a chain the residual, or NULL; of an addition the other term; NULL for
///   all others. It may be `x`.
/// - `y`: the output, not NULL, of the shape that `kolibri_output_shape` says and apart from the inputs: channels beside
///   those of an input within the same pixels are. Nothing is written where the call fails, but for `INTERNAL_ERROR` and
///   a `parallel_for` that does not run every task.
/// - `workspace`: the caller's, of any alignment, apart from the images; its content before and after means nothing. May be
///   NULL where `workspace_size` is 0.
/// - `workspace_size`: bytes, at least what `kolibri_workspace_size` says.
/// - `parallel`: threads that the caller lends; NULL for the calling thread only.
///
/// Errors: `INVALID_NULL`, `INVALID_STRUCT_SIZE`, `INVALID_VALUE`, `INVALID_ALIGNMENT`, `INVALID_LENGTH`, `INVALID_ZERO`,
/// `INVALID_OVERFLOW`, `INVALID_SHAPE`, `INVALID_STRIDE`, `INVALID_WINDOW`, `INVALID_GROUPS`, `INVALID_QUANTIZATION`,
/// `INVALID_OVERLAP`, `INVALID_WORKSPACE`, `INVALID_INPUT`, `INVALID_PARALLEL`, `UNSUPPORTED_STRUCT_SIZE`,
/// `INTERNAL_ERROR`.
///
/// # Safety
/// Pointers are NULL or lead to what their documentation says, as long as the call lasts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_run(
    op: *const kolibri_operator,
    x: *const kolibri_image,
    b: *const kolibri_image,
    y: *const kolibri_image_mut,
    workspace: *mut c_void,
    workspace_size: usize,
    parallel: *const kolibri_parallel,
) -> kolibri_status {
    guard(|| {
        // SAFETY: as promised by the caller.
        unsafe {
            let operator = handle(op)?;
            let (x, y) = (input::read("x", x)?, input::read("y", y)?);
            let b = if b.is_null() { None } else { Some(input::read("b", b)?) };
            let arguments = Arguments { x, b, y, workspace, workspace_size };
            with!(operator, run => lend(parallel, |parallel| arguments.run(&**run, parallel)))
        }
    })
}

struct Arguments {
    x: kolibri_image,
    b: Option<kolibri_image>,
    y: kolibri_image_mut,
    workspace: *mut c_void,
    workspace_size: usize,
}

impl Arguments {
    /// # Safety
    /// Pointers are NULL or lead to what their documentation says.
    unsafe fn run<T: Dtype>(&self, operator: &dyn Run<T>, parallel: &dyn Parallel) -> Result<(), Fault> {
        check_second(operator.second(), self.b.is_some())?;
        // SAFETY: as promised by the caller; that the output is apart is checked before anything is written.
        let (x, b, y, memory) = unsafe {
            let b = self.b.as_ref().map(|b| input::image::<T>("b", b)).transpose()?;
            let memory = input::workspace(self.workspace, self.workspace_size)?;
            (input::image::<T>("x", &self.x)?, b, input::image_mut::<T>("y", &self.y)?, memory)
        };
        let all = memory.as_ptr_range();
        let (start, end) = (all.start.addr(), all.end.addr());
        for image in [Some(x), b, Some(y.as_image())].into_iter().flatten() {
            let image = input::span(&image);
            if start < image.end && image.start < end {
                let message = "workspace: shares memory with an image";
                return Err(Fault::new(Status::InvalidOverlap, message));
            }
        }
        operator.run(Images { x, b, y }, memory, parallel).map_err(|error| match error {
            Error::Workspace { expected, .. } => {
                Error::Workspace { expected: with_slack(expected), got: self.workspace_size }.into()
            }
            error => error.into(),
        })
    }
}

/// Runs `body` with the threads that the caller lends.
///
/// # Safety
/// `parallel` is NULL or leads to what [`kolibri_parallel`] says.
pub(super) unsafe fn lend(
    parallel: *const kolibri_parallel,
    body: impl FnOnce(&dyn Parallel) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if parallel.is_null() {
        return body(&Serial);
    }
    // SAFETY: as promised by the caller.
    let kolibri_parallel { threads, parallel_for, ctx, .. } = unsafe { input::read("parallel", parallel)? };
    if threads == 0 {
        return Err(no_threads());
    }
    let parallel_for = parallel_for.ok_or_else(|| input::null("parallel_for"))?;
    let lent = Lent { threads, parallel_for, ctx, panicked: AtomicBool::new(false), left: AtomicUsize::new(0) };
    body(&lent)?;
    if lent.panicked.into_inner() {
        return Err(Fault::internal());
    }
    match lent.left.into_inner() {
        0 => Ok(()),
        left => Err(Fault::new(Status::InvalidParallel, format!("parallel_for: {left} tasks were not run"))),
    }
}

/// Threads that a C caller lends.
struct Lent {
    threads: usize,
    parallel_for: unsafe extern "C" fn(*mut c_void, usize, kolibri_task, *mut c_void),
    ctx: *mut c_void,
    panicked: AtomicBool,
    /// Tasks that were not run.
    left: AtomicUsize,
}

// SAFETY: `ctx` is only handed back, to a function that the caller lends for use by any thread.
unsafe impl Sync for Lent {}

/// What a task needs, while `parallel_for` runs.
struct Call<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    panicked: &'a AtomicBool,
    ran: AtomicUsize,
}

impl Parallel for Lent {
    fn threads(&self) -> usize {
        self.threads
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let call = Call { task, panicked: &self.panicked, ran: AtomicUsize::new(0) };
        let arg = (&raw const call).cast_mut().cast();
        // SAFETY: the caller lends this function for such calls; `call` outlives it, and so every task.
        unsafe { (self.parallel_for)(self.ctx, tasks, Some(run_task), arg) };
        self.left.fetch_add(tasks.saturating_sub(call.ran.into_inner()), Ordering::Relaxed);
    }
}

/// # Safety
/// `arg` is that of the `parallel_for` that calls it.
unsafe extern "C" fn run_task(arg: *mut c_void, i: usize) {
    // SAFETY: as promised by the caller.
    let call = unsafe { &*arg.cast::<Call<'_>>() };
    // Nothing unwinds into the caller's threads.
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (call.task)(i))) {
        Ok(()) => _ = call.ran.fetch_add(1, Ordering::Relaxed),
        Err(_) => call.panicked.store(true, Ordering::Relaxed),
    }
}

//! How a call ended.

use crate::Error;
use core::ffi::c_char;
use std::{cell::RefCell, panic::AssertUnwindSafe};

/// How a call ended. `INVALID_..` is the caller's fault; `UNSUPPORTED_..` is valid, but not offered. Numbers are never
/// used again for something else; later versions may have more.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum kolibri_status {
    /// All is done.
    Success = 0,
    /// A pointer that must not be NULL.
    InvalidNull = 1,
    /// A `struct_size` below that of the first version of the struct.
    InvalidStructSize = 2,
    /// A value that its enumeration does not have.
    InvalidValue = 3,
    /// A pointer to elements that is not a multiple of their size.
    InvalidAlignment = 4,
    /// An array of the wrong length.
    InvalidLength = 5,
    /// A size that must not be zero.
    InvalidZero = 6,
    /// A size that does not fit `size_t`, or memory that would go past the end of the address space.
    InvalidOverflow = 7,
    /// An image of the wrong shape, or of the wrong type of elements.
    InvalidShape = 8,
    /// A pixel stride below the channels.
    InvalidStride = 9,
    /// An image smaller than the window, or padding that is not below the kernel of a pool.
    InvalidWindow = 10,
    /// Channels that the groups do not divide.
    InvalidGroups = 11,
    /// A layout of weights that does not fit the operator.
    InvalidLayout = 12,
    /// Bounds of a clamp that are NaN or the wrong way round.
    InvalidActivation = 13,
    /// Scales or zero points out of range, or a residual of bytes whose quantisation was not given at creation.
    InvalidQuantization = 14,
    /// Memory of the output or of the workspace that is also that of something else.
    InvalidOverlap = 15,
    /// A workspace that is too small.
    InvalidWorkspace = 16,
    /// An input that the operator does not have, or one that it lacks.
    InvalidInput = 17,
    /// Convolutions that are no chain.
    InvalidChain = 18,
    /// A level that does not exist.
    InvalidLevel = 19,
    /// An environment variable, `KOLIBRI_ISA` or `KOLIBRI_FUSE`, with a value that it cannot have.
    InvalidEnvironment = 20,
    /// No threads, or a `parallel_for` that did not run every task.
    InvalidParallel = 21,
    /// An index past the last.
    InvalidIndex = 22,
    /// A `struct_size` above that of this library, which is older than the header.
    UnsupportedStructSize = 100,
    /// A level that this CPU lacks, or without which the library was built.
    UnsupportedLevel = 101,
    /// An activation that the operator does not have on such elements.
    UnsupportedActivation = 102,
    /// An operator without which the library was built.
    UnsupportedOperator = 103,
    /// Memory that cannot be had.
    OutOfMemory = 200,
    /// A defect of the library, which was caught. Outputs may be half written.
    InternalError = 201,
}

use kolibri_status as Status;

impl From<&Error> for Status {
    fn from(error: &Error) -> kolibri_status {
        match error {
            Error::Length { .. } => Status::InvalidLength,
            Error::Zero { .. } => Status::InvalidZero,
            Error::Groups { .. } => Status::InvalidGroups,
            Error::NoOutput { .. } | Error::Padding { .. } => Status::InvalidWindow,
            Error::Overflow { .. } => Status::InvalidOverflow,
            Error::PixelStride { .. } => Status::InvalidStride,
            Error::Channels { .. } | Error::Shape { .. } => Status::InvalidShape,
            Error::Overlap { .. } => Status::InvalidOverlap,
            Error::Workspace { .. } => Status::InvalidWorkspace,
            Error::WeightLayout { .. } => Status::InvalidLayout,
            Error::Clamp { .. } => Status::InvalidActivation,
            Error::Scale { .. } | Error::ZeroPoint { .. } | Error::ResidualQuantization | Error::OutputQuantization => {
                Status::InvalidQuantization
            }
            Error::Activation { .. } => Status::UnsupportedActivation,
            Error::ChainLength { .. } | Error::ChainChannels { .. } => Status::InvalidChain,
            Error::Isa { .. } | Error::Fuse { .. } => Status::InvalidEnvironment,
            Error::Memory { .. } => Status::OutOfMemory,
            Error::Level { .. } => Status::UnsupportedLevel,
        }
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub status: Status,
    pub message: String,
}

impl Fault {
    pub fn new(status: Status, message: impl Into<String>) -> Fault {
        Fault { status, message: message.into() }
    }

    pub fn internal() -> Fault {
        Fault::new(Status::InternalError, "internal error: a defect of kolibri, please report it")
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::new(Status::from(&error), error.to_string())
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The body of every function that can fail: a fault is kept for [`kolibri_last_error`], and a panic ends here.
pub(super) fn guard(body: impl FnOnce() -> Result<(), Fault>) -> Status {
    let fault = match std::panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return Status::Success,
        Ok(Err(fault)) => fault,
        Err(_) => Fault::internal(),
    };
    // A thread that ends has none any more.
    let _ = LAST.try_with(|last| *last.borrow_mut() = fault.message);
    fault.status
}

/// Copies what fits of `text` and a NUL into `buffer`.
///
/// # Safety
/// `buffer` is NULL or valid for writes of `len` bytes.
pub(super) unsafe fn copy_text(text: &str, buffer: *mut c_char, len: usize) {
    if buffer.is_null() || len == 0 {
        return;
    }
    let fits = text.len().min(len - 1);
    // SAFETY: as promised by the caller.
    unsafe {
        buffer.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), fits);
        buffer.add(fits).write(0);
    }
}

/// Gives a name to the caller, where there is one.
///
/// # Safety
/// `buffer` is NULL or valid for writes of `len` bytes, `length` NULL or valid for a write.
pub(super) unsafe fn copy_out(
    name: Option<&str>,
    buffer: *mut c_char,
    len: usize,
    length: *mut usize,
) -> Result<(), Fault> {
    let name = name.ok_or_else(|| Fault::new(Status::InvalidIndex, "index: past the last"))?;
    // SAFETY: as promised by the caller.
    unsafe {
        copy_text(name, buffer, len);
        if !length.is_null() {
            length.write_unaligned(name.len());
        }
    }
    Ok(())
}

/// What was wrong with this thread's last call that failed: which argument, what was expected, what came.
///
/// - `buffer`: the caller's; takes as much of the text as fits, always ended by a NUL. May be NULL, and is not written
///   then.
/// - `len`: bytes of `buffer`.
///
/// Returns the length of the whole text in bytes, without the NUL; 0 where no call of this thread has failed.
///
/// # Safety
/// `buffer` is NULL or valid for writes of `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_last_error(buffer: *mut c_char, len: usize) -> usize {
    let copy = |last: &RefCell<String>| {
        let last = last.borrow();
        // SAFETY: as promised by the caller.
        unsafe { copy_text(&last, buffer, len) };
        last.len()
    };
    LAST.try_with(copy).unwrap_or(0)
}

//! What the library is, and what it has for this CPU.

use super::{
    input, kolibri_status,
    status::{copy_out, guard},
};
use crate::Level;
use core::ffi::c_char;

/// The version of the ABI that this header declares. It grows where functions or fields are added; programs for an older
/// one keep working.
pub const KOLIBRI_ABI_VERSION: u32 = 1;

/// The version of the library, such as `1.2.3`: text that lives as long as the library, ended by a NUL.
#[unsafe(no_mangle)]
pub extern "C" fn kolibri_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the ABI that the library has: at least `KOLIBRI_ABI_VERSION` of the header that a program was compiled
/// with, or the library is too old for it.
#[unsafe(no_mangle)]
pub extern "C" fn kolibri_abi_version() -> u32 {
    KOLIBRI_ABI_VERSION
}

/// Names a level, an instruction set, that this CPU has.
///
/// - `index`: which, from 0, the best, on.
/// - `buffer`: the caller's; takes as much of the name as fits, always ended by a NUL. May be NULL, and is not written
///   then.
/// - `len`: bytes of `buffer`.
/// - `length`: takes the length of the whole name in bytes, without the NUL; may be NULL.
///
/// Errors: `INVALID_INDEX` past the last.
///
/// # Safety
/// `buffer` is NULL or valid for writes of `len` bytes, `length` NULL or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_level(
    index: usize,
    buffer: *mut c_char,
    len: usize,
    length: *mut usize,
) -> kolibri_status {
    // SAFETY: as promised by the caller.
    guard(|| unsafe { copy_out(Level::available().rev().nth(index).map(Level::name), buffer, len, length) })
}

/// Names the level that operators are made for where the caller asks for none: the best that this CPU has, narrowed by the
/// environment variable `KOLIBRI_ISA`, a list of levels to permit (`avx2`) or to take away (`-avx512`).
///
/// - `buffer`, `len`, `length`: as in `kolibri_level`.
///
/// Errors: `INVALID_ENVIRONMENT` where the variable names a level that does not exist.
///
/// # Safety
/// As in [`kolibri_level`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_selected_level(buffer: *mut c_char, len: usize, length: *mut usize) -> kolibri_status {
    // SAFETY: as promised by the caller.
    guard(|| unsafe { copy_out(Some(Level::selected()?.level.name()), buffer, len, length) })
}

/// Names a kernel of a level.
///
/// - `level`: the name of the level, ended by a NUL; NULL for the one that is selected.
/// - `index`: which, from 0 on.
/// - `buffer`, `len`, `length`: as in `kolibri_level`.
///
/// Errors: `INVALID_INDEX` past the last, `INVALID_LEVEL`, `INVALID_ENVIRONMENT`, `UNSUPPORTED_LEVEL`.
///
/// # Safety
/// As in [`kolibri_level`]; `level` is NULL or leads to bytes up to a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kolibri_kernel(
    level: *const c_char,
    index: usize,
    buffer: *mut c_char,
    len: usize,
    length: *mut usize,
) -> kolibri_status {
    guard(|| {
        // SAFETY: as promised by the caller.
        let name = unsafe { input::kernels(level)? }.list().nth(index).map(|(name, _)| name);
        // SAFETY: as promised by the caller.
        unsafe { copy_out(name, buffer, len, length) }
    })
}

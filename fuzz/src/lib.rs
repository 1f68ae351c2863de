//! The bodies of the fuzz targets: each takes any bytes, and panics where a promise of the crates is broken.
#![cfg(unix)] // pages that may not be touched

mod c_abi;
mod draw;
mod files;
mod memory;
mod operators;

pub use c_abi::c_abi;
pub use files::{files, seeds};
pub use operators::operators;

//! The C ABI: what `include/kolibri.h` declares.
//!
//! Every function that can fail returns a [`kolibri_status`]; what was wrong is told in words by
//! [`kolibri_last_error`]. Nothing unwinds into the caller. Structs that describe something begin with `struct_size`,
//! which the caller sets to `sizeof` of the struct: a later version may add fields behind.
//!
//! An operator is created once, which packs its weights, is immutable from then on, may be shared by any number of
//! threads, and is destroyed at the end. All operators are queried and run by the same functions.
//!
//! The caller answers for what no library can check: that pointers lead to as many elements as it says, that nobody
//! else writes them meanwhile, and that a handle was not destroyed. Everything else is checked before anything is written.

#![allow(non_camel_case_types)] // the names are those of the header

mod create;
mod describe;
mod info;
mod input;
mod operator;
mod run;
mod status;
mod stream;

pub use create::*;
pub use describe::*;
pub use info::*;
pub use operator::kolibri_operator;
pub use run::*;
pub use status::*;
pub use stream::*;

#[cfg(test)]
mod tests;

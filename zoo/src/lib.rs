//! Networks of the field built from kolibri's operators.
//!
//! - [`model`] loads a network's layers and weights, [`network`] builds it for a level and runs it.
//! - [`calibrate`] and [`quantize`] turn a network into one in bytes, which is [`quantized`]; [`compare`] says how near it is.
//! - [`photo`] makes inputs of photos, and answers of logits.
//! - [`layer`] and [`operator`] are what both the networks with weights and the lone layers of `networks/` consist of.
//! - [`peak`] and [`timing`] measure, [`report`] prints.

pub mod calibrate;
pub mod compare;
pub mod layer;
pub mod lone;
pub mod model;
pub mod network;
pub mod operator;
pub mod peak;
pub mod photo;
pub mod plan;
pub mod quantize;
pub mod quantized;
pub mod random;
pub mod reference;
pub mod report;
pub mod timing;

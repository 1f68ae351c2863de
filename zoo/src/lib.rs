//! Networks of the field built from kolibri's operators.
//!
//! - [`networks`] has them as [`graph`]s, [`simplify`] makes layers of them that operators can do.
//! - [`model`] gives a graph weights, [`network`] builds it for a level and runs it, in the steps of [`fuse`] and in the
//!   memory of [`place`].
//! - [`calibrate`] and [`quantize`] turn a network into one in bytes, which is [`quantized`]; [`compare`] says how near it is.
//! - [`photo`] makes inputs of photos, and answers of logits.
//! - [`layer`] and [`operator`] are what networks and lone layers consist of.
//! - [`peak`] and [`timing`] measure, [`latency`] predicts networks from their layers' times, [`report`] prints.

mod aligned;
pub mod calibrate;
pub mod compare;
pub mod fuse;
pub mod graph;
pub mod latency;
pub mod layer;
pub mod lone;
pub mod model;
pub mod network;
pub mod networks;
pub mod operator;
pub mod peak;
pub mod photo;
pub mod place;
pub mod quantize;
pub mod quantized;
pub mod random;
pub mod reference;
pub mod report;
pub mod shuffles;
pub mod simplify;
pub mod timing;

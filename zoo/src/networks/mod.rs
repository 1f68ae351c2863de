//! The networks of the field, each family from its paper's table.

use crate::graph::Graph;
use anyhow::{Context, Result};

mod amc;
mod efficientnet_lite;
mod fd_mobilenet;
mod inverted;
mod mnasnet;
mod mobilenet_v1;
mod mobilenet_v2;
mod nasnet;
mod shufflenet_v1;
mod shufflenet_v2;
mod xception;

/// A network by its name, and by what of the name stands after the family's.
type Make = fn(&str, &str) -> Option<Graph>;

/// Families, how they read the rest of a name, and the names that are listed.
const FAMILIES: &[(&str, Make, &[&str])] = &[
    ("amc_mobilenet_v1", amc::named, &["_0.5flops", "_0.5time"]),
    ("efficientnet_lite", efficientnet_lite::named, &["0"]),
    ("fd_mobilenet", fd_mobilenet::named, &["_0.25", "_0.5", "_1.0"]),
    ("mnasnet", mnasnet::named, &["_a1", "_b1"]),
    ("mobilenet_v1", mobilenet_v1::named, &["_0.25", "_0.5", "_0.75", "_1.0"]),
    ("mobilenet_v2", mobilenet_v2::named, &["", "_1.4"]),
    ("nasnet_a", nasnet::named, &["_mobile_4at1056"]),
    ("shufflenet_v1", shufflenet_v1::named, &["_1x_g1", "_1x_g2", "_1x_g3", "_1x_g4", "_1x_g8"]),
    ("shufflenet_v2", shufflenet_v2::named, &["_0.5x", "_1.0x", "_1.5x", "_2.0x"]),
    ("xception", xception::named, &[""]),
];

/// The names of networks. MobileNets and ShuffleNetV1 know widths beside those.
pub fn known() -> impl Iterator<Item = String> {
    FAMILIES.iter().flat_map(|(family, _, rests)| rests.iter().map(move |rest| format!("{family}{rest}")))
}

/// The network of that name.
///
/// # Errors
/// An unknown name.
pub fn graph(name: &str) -> Result<Graph> {
    // Families' names can begin alike: the longest that fits is meant.
    let families = FAMILIES.iter().filter_map(|&(family, make, _)| Some((family, make, name.strip_prefix(family)?)));
    let made = families.max_by_key(|(family, ..)| family.len()).and_then(|(_, make, rest)| make(name, rest));
    let unknown = || format!("unknown network '{name}', known are {}", known().collect::<Vec<_>>().join(" "));
    made.with_context(unknown)
}

/// A width multiplier, up to 8, which keeps sizes within reason.
fn multiplier(text: &str) -> Option<f64> {
    text.parse().ok().filter(|&alpha| alpha > 0.0 && alpha <= 8.0)
}

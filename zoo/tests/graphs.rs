//! Networks as the families build them: against listings of their layers, and against the figures that papers give.

use kolibri_zoo::{
    graph::Graph,
    layer::{Act, Layer, Op, Shape},
    networks,
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file in `networks/`.
#[derive(Deserialize)]
struct Listing {
    name: String,
    input: [usize; 3],
    totals: Totals,
    layers: Vec<Listed>,
}

#[derive(Deserialize)]
struct Totals {
    macs: usize,
    weights_only: usize,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    inputs: Vec<String>,
    /// Whether `params` counts a bias.
    bias: bool,
    params: usize,
    #[serde(flatten)]
    shape: Shape,
}

/// An entry of `networks/SUMMARY.json`.
#[derive(Deserialize)]
struct Check {
    net: String,
    macs: usize,
    paper_macs: f64,
    diff_pct: f64,
    paper_params: Option<f64>,
}

/// `models/NAME/layers.json`: a chain.
#[derive(Deserialize)]
struct Chain {
    layers: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    name: String,
    /// The layer whose output is added.
    residual_from: Option<usize>,
    #[serde(flatten)]
    shape: Shape,
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What was checked against papers.
fn summary() -> Vec<Check> {
    read(&directory("tests/networks/SUMMARY.json"))
}

fn weights(shape: &Shape) -> usize {
    match &shape.weight_shape()[..] {
        [] => 0,
        sides => sides.iter().product(),
    }
}

#[test]
fn graphs_equal_their_listings() {
    for Check { net, .. } in summary() {
        let listing: Listing = read(&directory(&format!("tests/networks/{net}.json")));
        let graph = networks::graph(&net).unwrap();
        assert_eq!((&graph.name, graph.input), (&listing.name, listing.input));
        // The weights that are at hand have another name for the first layer.
        let renamed = |name: &str| match name {
            "conv0" if net.starts_with("mobilenet_v2") => "stem".to_owned(),
            _ => name.to_owned(),
        };
        let value = |&value: &usize| value.checked_sub(1).map_or("input", |i| graph.layers[i].name.as_str());
        for (layer, listed) in graph.layers.iter().zip(&listing.layers) {
            let at = format!("{net} {}", listed.name);
            assert_eq!(layer.name, renamed(&listed.name), "{at}");
            assert_eq!(layer.shape, listed.shape, "{at}");
            let inputs: Vec<_> = listed.inputs.iter().map(|name| renamed(name)).collect();
            assert_eq!(layer.inputs.iter().map(value).collect::<Vec<_>>(), inputs, "{at}");
            // Where a listing has a convolution without bias, ours is zero: the normalisation of a concatenation is
            // listed there, and ours is in the convolutions that it joins.
            let bias = if listed.bias { listed.shape.cout } else { 0 };
            assert_eq!(weights(&layer.shape) + bias, listed.params, "{at}");
        }
        assert_eq!(graph.layers.len(), listing.layers.len(), "{net}");
        assert_eq!(graph.macs(), listing.totals.macs, "{net}");
        assert_eq!(graph.layers.iter().map(|l| weights(&l.shape)).sum::<usize>(), listing.totals.weights_only, "{net}");
    }
}

/// What kolibri counts is what the listings count.
#[test]
fn geometries_have_the_cost_of_their_layers() {
    for name in networks::known() {
        for Layer { name: layer, shape, .. } in networks::graph(&name).unwrap().layers {
            if !shape.weight_shape().is_empty() {
                let (geometry, image) = (shape.geometry(), [1, shape.hin, shape.win]);
                assert_eq!(geometry.macs(image), Ok(shape.macs as u64), "{name} {layer}");
                assert_eq!(geometry.parameters(), Ok(shape.params()), "{name} {layer}");
            }
        }
    }
}

#[test]
fn every_listing_is_checked() {
    let files = fs::read_dir(directory("tests/networks")).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut listings: Vec<_> = json.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut checked: Vec<_> = summary().into_iter().map(|check| check.net).collect();
    checked.push("SUMMARY".to_owned());
    listings.sort();
    checked.sort();
    assert_eq!(listings, checked);
}

#[test]
fn totals_are_those_of_papers() {
    for Check { net, macs, paper_macs, diff_pct, paper_params } in summary() {
        let graph = networks::graph(&net).unwrap();
        assert_eq!(graph.macs(), macs, "{net}");
        assert!((percent(&graph, paper_macs) - diff_pct).abs() < 0.01, "{net}: {}", percent(&graph, paper_macs));
        // Papers round to 0.1 million, and differ in what they count of batch normalisation.
        let off = paper_params.map_or(0.0, |params| graph.params() as f64 - params);
        assert!(off.abs() < 0.1e6, "{net}: {off}");
    }
}

/// How many percent more multiply-adds there are than a paper has.
fn percent(graph: &Graph, paper: f64) -> f64 {
    (graph.macs() as f64 / paper - 1.0) * 100.0
}

#[test]
fn totals_without_a_listing_are_those_of_papers() {
    // Million multiply-adds.
    for (name, published) in [
        ("fd_mobilenet_0.25", 12.0),
        ("fd_mobilenet_0.5", 40.0),
        // Those that the authors published later: slim/nets/mobilenet in tensorflow/models.
        ("mobilenet_v2_0.35", 59.0),
        ("mobilenet_v2_0.5", 97.0),
        ("mobilenet_v2_0.75", 209.0),
        ("mobilenet_v2_1.3", 509.0),
        ("mobilenet_v2_1.4", 582.0),
        ("shufflenet_v1_0.5x_g3", 38.0),
        ("shufflenet_v1_2x_g3", 524.0),
        ("xception", 8400.0),
    ] {
        let off = percent(&networks::graph(name).unwrap(), published * 1e6);
        assert!(off.abs() < 1.2, "{name}: {off}");
    }
}

/// Table 3 of the paper says how many parameters there are, to the last one.
#[test]
fn xception_has_the_parameters_of_its_paper() {
    let parameters = networks::graph("xception").unwrap().layers.into_iter().map(|layer| {
        // Of normalisation a scale and a shift, which follow depthwise and pointwise convolution together.
        let others = match layer.shape.op {
            Op::Conv | Op::PwConv => 2 * layer.shape.cout,
            Op::Fc => layer.shape.cout,
            _ => 0,
        };
        weights(&layer.shape) + others
    });
    assert_eq!(parameters.sum::<usize>(), 22_855_952);
}

#[test]
fn names_are_found() {
    let known: Vec<_> = networks::known().collect();
    for name in &known {
        let graph = networks::graph(name).unwrap();
        assert_eq!(graph.name, *name);
        let last = graph.layers.last().unwrap();
        assert_eq!((last.shape.op, last.shape.cout), (Op::Fc, 1000), "{name}");
        let mut names: Vec<_> = graph.layers.iter().map(|layer| &layer.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), graph.layers.len(), "{name}: weights go by layers' names");
    }
    let unlisted = ["fd_mobilenet_2", "mobilenet_v1_0.35", "mobilenet_v1_1.25", "mobilenet_v2_1.0"];
    for name in unlisted {
        assert_eq!(networks::graph(name).unwrap().name, name);
    }
    for name in [
        "",
        "mobilenet",
        "mobilenet_v1",
        "mobilenet_v1_",
        "mobilenet_v1_0",
        "mobilenet_v1_-1",
        "mobilenet_v1_nan",
        "mobilenet_v1_inf",
        "mobilenet_v1_1.0 ",
        "mobilenet_v21.0",
        "efficientnet_lite",
        "efficientnet_lite00",
        "mnasnet",
        "amc_mobilenet_v1_0.5",
        "shufflenet_v1_1x_g5",
        "shufflenet_v1_0.5x_g8", // eight groups do not divide its first unit
        "shufflenet_v2_1x",
        "xception_",
    ] {
        let error = networks::graph(name).expect_err(name).to_string();
        assert!(error.contains(&format!("'{name}'")), "{error}");
        assert!(known.iter().all(|name| error.contains(name)), "{error}");
    }
}

/// The networks with weights are those: a chain there, whose convolutions add residuals.
#[test]
fn models_are_graphs() {
    for name in ["efficientnet_lite0", "mobilenet_v2"] {
        let chain: Chain = read(&directory("models").join(name).join("layers.json"));
        let graph = networks::graph(name).unwrap();
        let mut layers = (1..).zip(&graph.layers);
        // What each layer of the chain puts out is this value of the graph.
        let mut values = vec![];
        for link in &chain.layers {
            let (mut value, layer) = layers.next().unwrap();
            // The chain calls the whole image the window of its average.
            let k = if link.shape.op == Op::Gap { 1 } else { link.shape.k };
            assert_eq!((&layer.name, layer.shape), (&link.name, Shape { k, ..link.shape }), "{name}");
            assert_eq!(layer.inputs, [values.last().copied().unwrap_or(0)], "{name} {}", link.name);
            if let Some(from) = link.residual_from {
                let (sum, add) = layers.next().unwrap();
                assert_eq!((add.shape.op, add.shape.act), (Op::Add, Act::None), "{name} {}", link.name);
                assert_eq!(add.inputs, [value, values[from]], "{name} {}", link.name);
                value = sum;
            }
            values.push(value);
        }
        assert!(layers.next().is_none(), "{name}");
    }
}

//! Files of networks, broken in all ways: they are refused, or make a network that runs.

use crate::draw::Draw;
use anyhow::Result;
use arbitrary::Arbitrary;
use half::f16;
use kolibri::{Level, Serial, kernels::Kernels};
use kolibri_zoo::{
    calibrate::{self, Ranges},
    fuse,
    graph::{Builder, Graph, Rule},
    layer::Act,
    model::{self, Model, Preprocess, Published},
    network::Network,
    networks,
    place::Places,
    quantize::quantize,
    quantized::{QuantizedModel, QuantizedNetwork},
    random::Random,
    simplify::simplify,
};
use safetensors::{Dtype, tensor::TensorView};
use std::sync::LazyLock;

/// A network so small that its weights are a few kilobytes, of every kind of layer.
fn tiny() -> Graph {
    let (mut b, image) = Builder::new("tiny", 8, Rule::Same);
    let x = b.conv("stem", image, 3, 2, 8, Act::Relu6);
    // An inverted residual with a squeeze-excite.
    let mut y = b.pwconv("expand", x, 16, Act::Relu6);
    y = b.dwconv("filter", y, 3, 1, Act::Relu);
    let mut s = b.gap("squeeze", y);
    s = b.pwconv("reduce", s, 4, Act::Relu);
    s = b.pwconv("excite", s, 16, Act::Sigmoid);
    y = b.mul("scale", y, s);
    y = b.pwconv("project", y, 8, Act::None);
    let x = b.add("add", x, y, Act::None);
    // A unit of a ShuffleNet.
    let (left, right) = (b.split("left", x, 0, 4), b.split("right", x, 4, 4));
    y = b.pwconv("unit", right, 4, Act::Relu);
    y = b.concat("concat", &[left, y], Act::None);
    let x = b.shuffle("shuffle", y, 2);
    // What is left.
    let y = b.gconv("grouped", x.relu(), 8, 2, Act::None);
    let pooled = [b.max_pool("max", x, 3, 2), b.avg_pool("average", y, 3, 2, true), b.subsample("every", x, 2, 1)];
    let mut x = b.concat("all", &pooled, Act::Relu);
    x = b.gap("gap", x);
    b.fc("fc", x, 5);
    b.finish()
}

/// The tiny network, and its files as they should be.
struct Files {
    graph: Graph,
    simple: Graph,
    floats: Vec<u8>,
    bytes: Vec<u8>,
}

static FILES: LazyLock<Files> = LazyLock::new(|| Files::new().expect("a network that is right"));

impl Files {
    fn new() -> Result<Files> {
        let graph = tiny();
        let (simple, _) = simplify(&graph, Vec::new());
        let model = Model::seeded(&graph);
        let input = Random::default().values(graph.input.iter().product());
        let observed = calibrate::observe(&model, &[input], Level::selected()?, &Serial, || {})?;
        let bytes = quantize(&model, &observed, Ranges::MinMax).to_bytes()?;
        let files = Files { floats: floats(&graph)?, bytes, graph, simple };
        run_floats(&files, &files.floats)?;
        run_bytes(&files, &files.bytes)?;
        Ok(files)
    }
}

/// The file of weights from a seed.
fn floats(graph: &Graph) -> Result<Vec<u8>> {
    let halves = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect() };
    let mut tensors = Vec::new();
    for (layer, parameters) in graph.layers.iter().zip(model::seeded(graph)) {
        let shape = layer.shape.weight_shape();
        if !shape.is_empty() {
            tensors.push((format!("{}.weight", layer.name), shape, halves(&parameters.weights)));
            tensors.push((format!("{}.bias", layer.name), vec![layer.shape.cout], halves(&parameters.bias)));
        }
    }
    let views = tensors.iter().map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F16, shape.clone(), data)?)));
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

fn kernels() -> Result<&'static Kernels> {
    Ok(Level::selected()?)
}

fn run_floats(Files { graph, .. }: &Files, file: &[u8]) -> Result<()> {
    let model = Published::from_bytes(file, graph.clone(), Preprocess::default())?.into_model();
    let mut network = Network::new(&model, kernels()?, 1)?;
    let input = vec![0.5; network.input_len()];
    network.run(&input, &Serial)?;
    Ok(())
}

fn run_bytes(Files { simple, .. }: &Files, file: &[u8]) -> Result<()> {
    let model = QuantizedModel::from_bytes(file, simple.clone(), Preprocess::default())?;
    assert_eq!(
        QuantizedModel::from_bytes(&model.to_bytes()?, simple.clone(), Preprocess::default())?.parameters,
        model.parameters
    );
    let mut network = QuantizedNetwork::new(&model, kernels()?, 1)?;
    let input = vec![200; network.network.input_len()];
    network.run(&input, &Serial)?;
    Ok(())
}

/// A network's graph, and where its values would lie.
fn plan(name: &str) -> Result<()> {
    let (graph, _) = simplify(&networks::graph(name)?, Vec::new());
    Places::new(&graph, &fuse::steps(&graph));
    Ok(())
}

/// A mistake in a file.
#[derive(Arbitrary, Debug)]
enum Edit {
    Byte {
        at: u16,
        value: u8,
    },
    /// Four bytes of the tensors.
    Word {
        at: u16,
        value: u32,
    },
    Remove {
        at: u16,
        len: u8,
    },
    Insert {
        at: u16,
        value: u8,
        times: u8,
    },
    /// A word or number of the header becomes another, the header's length being kept true.
    Token {
        which: u16,
        by: u16,
    },
}

/// What no header should have.
const TOKENS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "0.5",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775807",
    "4611686018427387904",
    "4294967296",
    "",
    "null",
    "F8_E4M3",
    "F4",
    "__metadata__",
];

/// The words and numbers of a header.
fn tokens(header: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let mut tokens = Vec::new();
    let mut at = 0;
    for run in header.chunk_by(|a, b| is_of_token(a) == is_of_token(b)) {
        if is_of_token(&run[0]) {
            tokens.push(at..at + run.len());
        }
        at += run.len();
    }
    tokens
}

impl Edit {
    fn apply(&self, file: &mut Vec<u8>) {
        const LENGTH: usize = size_of::<u64>();
        let within = |at: u16, len: usize| usize::from(at) % len.max(1);
        let header = file.first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes)).min(1 << 20) as usize;
        let end = (LENGTH + header).min(file.len());
        match *self {
            Edit::Byte { at, value } => {
                let at = within(at, file.len());
                file.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
            }
            Edit::Word { at, value } => {
                let at = end + within(at, (file.len() - end) / 4) * 4;
                file.iter_mut().skip(at).zip(value.to_le_bytes()).for_each(|(byte, value)| *byte = value);
            }
            Edit::Remove { at, len } => {
                let at = within(at, file.len());
                file.drain(at..(at + usize::from(len)).min(file.len()));
            }
            Edit::Insert { at, value, times } => {
                let at = within(at, file.len());
                file.splice(at..at, std::iter::repeat_n(value, times.into()));
            }
            Edit::Token { which, by } => {
                let Some(text) = file.get(LENGTH..end) else { return };
                let tokens = tokens(text);
                let Some(token) = tokens.get(within(which, tokens.len())) else { return };
                let by = within(by, TOKENS.len() + tokens.len());
                let new = match by.checked_sub(TOKENS.len()) {
                    None => TOKENS[by].as_bytes().to_vec(),
                    Some(other) => text[tokens[other].clone()].to_vec(),
                };
                let len = (text.len() - token.len() + new.len()) as u64;
                file.splice(LENGTH + token.start..LENGTH + token.end, new);
                file[..LENGTH].copy_from_slice(&len.to_le_bytes());
            }
        }
    }
}

/// Mistakes in a file, at most.
const EDITS: usize = 8;

/// Reads the file that `data` is, or a file with the mistakes that `data` says; or looks for a network of that name.
pub fn files(data: &[u8]) {
    let mut draw = Draw::new(data);
    let (kind, whole) = (draw.below(3), draw.flip());
    let files = &*FILES;
    let edited = |file: &[u8], mut draw: Draw<'_>| {
        if whole {
            return draw.rest().to_vec();
        }
        let mut file = file.to_vec();
        for _ in 0..EDITS {
            if draw.is_empty() {
                break;
            }
            draw.any::<Edit>().apply(&mut file);
        }
        file
    };
    // Whether it is a file matters to nobody.
    let _ = match kind {
        0 => run_floats(files, &edited(&files.floats, draw)),
        1 => run_bytes(files, &edited(&files.bytes, draw)),
        _ => plan(&String::from_utf8_lossy(draw.rest())),
    };
}

/// Inputs to begin with, each with a name.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let file = |kind: u8, file: &[u8]| [&[kind, 1], file].concat();
    let mut seeds = vec![
        ("floats".into(), file(0, &FILES.floats)),
        ("bytes".into(), file(1, &FILES.bytes)),
        ("floats-as-they-are".into(), vec![0, 0]),
        ("bytes-as-they-are".into(), vec![1, 0]),
    ];
    seeds.extend(networks::known().map(|name| (format!("name-{name}"), file(2, name.as_bytes()))));
    seeds
}

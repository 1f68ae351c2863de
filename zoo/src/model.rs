//! Networks with weights, and how a photo becomes their input.

use crate::{
    graph::Graph,
    layer::{Act, Layer},
    networks,
    random::Random,
    simplify::simplify,
};
use anyhow::{Context, Result, bail, ensure};
use half::{f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where this crate keeps `name`: `models`, `networks`, `photos`.
pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Parses a JSON file.
///
/// # Errors
/// A file that is missing or is not what it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("{}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))
}

/// The name of each class, in the order of the logits.
///
/// # Errors
/// As [`read_json`].
pub fn labels(models: &Path) -> Result<Vec<String>> {
    let path = models.join("imagenet_labels.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// How a photo becomes input: the centre square of 224/256 of the shorter side, resized to 224, normalised.
#[derive(Clone, Debug, Deserialize)]
pub struct Preprocess {
    /// How pixels are interpolated.
    pub filter: Filter,
    /// How the side of the square is rounded.
    pub rounding: Rounding,
    /// `x = (u8 / unit - mean) / std`.
    pub unit: f32,
    /// Of red, green, blue.
    pub mean: [f32; 3],
    /// Of red, green, blue.
    pub std: [f32; 3],
}

impl Default for Preprocess {
    /// From -1 to 1.
    fn default() -> Self {
        let (mean, std) = ([127.5; 3], [127.5; 3]);
        Preprocess { filter: Filter::Bilinear, rounding: Rounding::Nearest, unit: 1.0, mean, std }
    }
}

/// How pixels are interpolated.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Filter {
    Bicubic,
    Bilinear,
}

/// How a size is rounded.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Rounding {
    Floor,
    Nearest,
}

/// The weights of a layer; empty where it has none.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Parameters {
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A network with weights, for no level yet.
#[derive(Clone, Debug)]
pub struct Model {
    /// How a photo becomes input.
    pub preprocess: Preprocess,
    /// As [`simplify`] leaves it.
    pub graph: Graph,
    /// Weights of each layer.
    pub parameters: Vec<Parameters>,
}

/// A network as its paper has it, with weights.
#[derive(Clone, Debug)]
pub struct Published {
    /// How a photo becomes input.
    pub preprocess: Preprocess,
    /// As [`networks::graph`] has it.
    pub graph: Graph,
    /// Weights of each layer.
    pub parameters: Vec<Parameters>,
}

/// What is read of `layers.json`: the layers are those of the graph.
#[derive(Deserialize)]
struct About {
    preprocess: Preprocess,
}

/// How photos become the input of a network in `models`.
///
/// # Errors
/// No such network there, a broken file.
pub(crate) fn preprocess(models: &Path, name: &str) -> Result<Preprocess> {
    let known = Model::known(models)?;
    if !known.iter().any(|k| k == name) {
        bail!("no weights for '{name}', they are there for {}", known.join(" "));
    }
    Ok(read_json::<About>(&models.join(name).join("layers.json"))?.preprocess)
}

impl Model {
    /// The names of the networks in a directory.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn known(models: &Path) -> Result<Vec<String>> {
        let entries = fs::read_dir(models).with_context(|| format!("{}", models.display()))?;
        let directories = entries.flatten().map(|entry| entry.path()).filter(|path| path.join("layers.json").exists());
        let mut names: Vec<_> = directories.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        names.sort();
        Ok(names)
    }

    /// Loads `models/<name>`.
    ///
    /// # Errors
    /// An unknown network, and files that are missing or broken.
    pub fn load(models: &Path, name: &str) -> Result<Self> {
        Ok(Published::load(models, name)?.into_model())
    }

    /// With weights from a seed, for networks whose weights are not at hand.
    pub fn seeded(graph: &Graph) -> Self {
        Published::seeded(graph.clone()).into_model()
    }

    /// Bytes of weights and biases.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.iter().map(|p| size_of_val(&p.weights[..]) + size_of_val(&p.bias[..])).sum()
    }
}

impl Published {
    /// Loads `models/<name>`.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(models: &Path, name: &str) -> Result<Self> {
        let preprocess = preprocess(models, name)?;
        let graph = networks::graph(name)?;
        let path = models.join(name).join(format!("{name}.f16.safetensors"));
        let load = || Self::from_bytes(&fs::read(&path)?, graph, preprocess);
        load().with_context(|| format!("{}", path.display()))
    }

    /// A network whose weights are the tensors `<layer>.weight` and `<layer>.bias` (F16 or F32) of a safetensors file.
    ///
    /// # Errors
    /// A file that is broken or does not fit the layers.
    pub fn from_bytes(bytes: &[u8], graph: Graph, preprocess: Preprocess) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes)?;
        let parameters = graph.layers.iter().map(|layer| parameters(&tensors, layer)).collect::<Result<_>>()?;
        Ok(Published { preprocess, graph, parameters })
    }

    /// The same in F32.
    ///
    /// # Errors
    /// None: the names differ and the shapes fit.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let layers = self.graph.layers.iter().zip(&self.parameters).filter(|(_, p)| !p.weights.is_empty());
        let tensors: Vec<_> = layers
            .flat_map(|(layer, Parameters { weights, bias })| {
                let name = |what| format!("{}.{what}", layer.name);
                [(name("weight"), layer.shape.weight_shape(), weights), (name("bias"), vec![layer.shape.cout], bias)]
            })
            .map(|(name, shape, values)| (name, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()))
            .collect();
        let views =
            tensors.iter().map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)));
        Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
    }

    /// With weights from a seed.
    pub fn seeded(graph: Graph) -> Self {
        Published { preprocess: Preprocess::default(), parameters: seeded(&graph), graph }
    }

    /// What is run.
    pub fn into_model(self) -> Model {
        let (graph, parameters) = simplify(&self.graph, self.parameters);
        Model { preprocess: self.preprocess, graph, parameters }
    }
}

/// Weights from a seed, of a size at which values stay about as large from layer to layer.
pub fn seeded(graph: &Graph) -> Vec<Parameters> {
    let mut random = Random::default();
    let of_layer = |layer: &Layer| {
        let shape = layer.shape.weight_shape();
        if shape.is_empty() {
            return Parameters::default();
        }
        let len = shape.iter().product::<usize>();
        // The square of a value from -1 to 1 is a third in the mean; a ReLU leaves half of it.
        let kept = if layer.shape.act == Act::None { 1.0 } else { 0.5 };
        let size = (3.0 / kept / (len / layer.shape.cout) as f32).sqrt();
        let weights = random.values(len).into_iter().map(|x| x * size).collect();
        let bias = random.values(layer.shape.cout).into_iter().map(|x| x * 0.1).collect();
        Parameters { weights, bias }
    };
    graph.layers.iter().map(of_layer).collect()
}

fn parameters(tensors: &SafeTensors<'_>, layer: &Layer) -> Result<Parameters> {
    let shape = layer.shape.weight_shape();
    if shape.is_empty() {
        return Ok(Parameters::default());
    }
    let values = |what, shape: &[usize]| -> Result<Vec<f32>> {
        let name = format!("{}.{what}", layer.name);
        if tensors.tensor(&name)?.dtype() == Dtype::F32 {
            return Ok(words(tensor(tensors, &name, Dtype::F32, shape)?).map(f32::from_le_bytes).collect());
        }
        let bytes = tensor(tensors, &name, Dtype::F16, shape)?;
        let halves: Vec<f16> = bytes.chunks_exact(2).map(|bytes| f16::from_le_bytes([bytes[0], bytes[1]])).collect();
        Ok(halves.to_f32_vec())
    };
    Ok(Parameters { weights: values("weight", &shape)?, bias: values("bias", &[layer.shape.cout])? })
}

/// The bytes of a tensor that is as it should be.
pub(crate) fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str, dtype: Dtype, shape: &[usize]) -> Result<&'a [u8]> {
    let tensor = tensors.tensor(name)?;
    ensure!(tensor.dtype() == dtype, "{name}: expected {dtype:?}, got {:?}", tensor.dtype());
    ensure!(tensor.shape() == shape, "{name}: expected {shape:?}, got {:?}", tensor.shape());
    Ok(tensor.data())
}

/// Of four bytes: a file does not align its values.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.chunks_exact(4).map(|bytes| [bytes[0], bytes[1], bytes[2], bytes[3]])
}

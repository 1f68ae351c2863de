//! Networks in `models/`: layers, weights, and how a photo becomes their input.

use crate::layer::{Class, Layer, Op};
use anyhow::{Context, Result, bail, ensure};
use half::{f16, slice::HalfFloatSliceExt};
use safetensors::{Dtype, SafeTensors};
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
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Parameters {
    pub weights: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A network as loaded: what it consists of, for no level yet.
#[derive(Clone, Debug)]
pub struct Model {
    /// The directory's name.
    pub name: String,
    /// How a photo becomes input.
    pub preprocess: Preprocess,
    /// Layers; each takes the output of the one before.
    pub layers: Vec<Layer>,
    /// Weights of each layer.
    pub parameters: Vec<Parameters>,
}

/// What `layers.json` says.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Structure {
    pub preprocess: Preprocess,
    pub layers: Vec<Layer>,
}

impl Structure {
    pub fn load(models: &Path, name: &str) -> Result<Self> {
        let known = Model::known(models)?;
        if !known.iter().any(|k| k == name) {
            bail!("unknown network '{name}', known are {}", known.join(" "));
        }
        let path = models.join(name).join("layers.json");
        let structure: Structure = read_json(&path)?;
        check_chain(&structure.layers).with_context(|| format!("{}", path.display()))?;
        Ok(structure)
    }
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
        let Structure { preprocess, layers } = Structure::load(models, name)?;
        let path = models.join(name).join(format!("{name}.f16.safetensors"));
        let bytes = fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let load = || {
            let tensors = SafeTensors::deserialize(&bytes)?;
            layers.iter().map(|layer| parameters(&tensors, layer)).collect::<Result<Vec<_>>>()
        };
        let parameters = load().with_context(|| format!("{}", path.display()))?;
        Ok(Model { name: name.to_owned(), preprocess, layers, parameters })
    }

    /// Bytes of weights and biases.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.iter().map(|p| size_of_val(&p.weights[..]) + size_of_val(&p.bias[..])).sum()
    }

    /// Floating-point operations for one image.
    pub fn flops(&self) -> f64 {
        self.layers.iter().map(|layer| layer.shape.flops()).sum()
    }
}

/// What the plan relies on: each layer fits the one before, and residuals come from before.
fn check_chain(layers: &[Layer]) -> Result<()> {
    ensure!(!layers.is_empty(), "no layers");
    for (i, layer) in layers.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| layers[i].shape.y_len());
        ensure!(before.is_none_or(|len| len == layer.shape.x_len()), "{}: does not fit the layer before", layer.name);
        let residual = layer.residual_from.map(|from| from < i && layers[from].shape.y_len() == layer.shape.y_len());
        ensure!(residual != Some(false), "{}: no such residual", layer.name);
        let offered = !matches!(layer.shape.class(), Class::Other) || layer.shape.op == Op::Gap;
        ensure!(offered && layer.shape.absent().or(layer.shape.left_out()).is_none(), "{}: not offered", layer.name);
    }
    Ok(())
}

fn parameters(tensors: &SafeTensors<'_>, layer: &Layer) -> Result<Parameters> {
    let shape = layer.shape.weight_shape();
    if shape.is_empty() {
        return Ok(Parameters::default());
    }
    // The file does not align its values.
    let values = |name, shape: &[usize]| -> Result<Vec<f32>> {
        let bytes = tensor(tensors, &format!("{}.{name}", layer.name), Dtype::F16, shape)?;
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

//! The file of a network of bytes: one safetensors file, which the network's graph completes.
//!
//! For each layer with weights `<layer>.weight` (I8, the layout of the f32 weights), `<layer>.weight_scale` (F32, of each
//! output channel) and `<layer>.bias` (I32); and `activation.scale` (F32) and `activation.zero_point` (U8) of the input
//! and of each layer's output. The metadata has one entry, `kolibri`, which is JSON: so the same network is the same bytes.

use super::{QuantizedModel, QuantizedParameters};
use crate::{
    calibrate::Ranges,
    graph::Graph,
    layer::Layer,
    model::{Preprocess, preprocess, tensor, words},
    networks,
    simplify::simplify,
};
use anyhow::{Context, Result, anyhow, ensure};
use kolibri::QuantParams;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// Changes when older programs would misread a file.
const FORMAT: u32 = 1;
const KEY: &str = "kolibri";

#[derive(Serialize, Deserialize)]
struct About {
    format: u32,
    network: String,
    ranges: Ranges,
}

/// A tensor's name, type, shape, values.
type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

impl QuantizedModel {
    /// Where `models` has the file of a network.
    pub fn path(models: &Path, name: &str) -> PathBuf {
        models.join(name).join(format!("{name}.i8.safetensors"))
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// None that a network that was loaded or quantised would cause.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let about = About { format: FORMAT, network: self.graph.name.clone(), ranges: self.ranges };
        let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&about)?)]);
        let layers =
            self.graph.layers.iter().zip(&self.parameters).filter(|(_, parameters)| !parameters.weights.is_empty());
        let tensors: Vec<Tensor> = layers.flat_map(of_layer).chain(of_activations(&self.activations)).collect();
        let views =
            tensors.iter().map(|(name, dtype, shape, data)| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)));
        Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))?)
    }

    /// Loads the file of the network `name`, whose layers `models` has.
    ///
    /// # Errors
    /// A file that is missing, is broken, is of another format or network, or does not fit the layers.
    pub fn load(models: &Path, path: &Path, name: &str) -> Result<Self> {
        let preprocess = preprocess(models, name)?;
        let (graph, _) = simplify(&networks::graph(name)?, Vec::new());
        let load = || Self::from_bytes(&fs::read(path)?, graph, preprocess);
        load().with_context(|| format!("{}", path.display()))
    }

    /// A network of what [`QuantizedModel::to_bytes`] makes, whose layers are those of `graph` as [`simplify`] leaves it.
    ///
    /// # Errors
    /// A file that is broken, is of another format or network, or does not fit the layers.
    pub fn from_bytes(bytes: &[u8], graph: Graph, preprocess: Preprocess) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let tensors = SafeTensors::deserialize(bytes)?;
        let about = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let about = about.with_context(|| format!("no network in bytes: its metadata has no entry '{KEY}'"))?;
        let About { format, network, ranges } = serde_json::from_str(about).context("metadata")?;
        ensure!(format == FORMAT, "format {format}: only {FORMAT} is known");
        ensure!(network == graph.name, "expected the network '{}', got '{network}'", graph.name);
        let parameters = graph.layers.iter().map(|layer| parameters(&tensors, layer)).collect::<Result<_>>()?;
        let activations = activations(&tensors, graph.values())?;
        Ok(QuantizedModel { ranges, preprocess, graph, parameters, activations })
    }
}

fn of_layer((layer, parameters): (&Layer, &QuantizedParameters)) -> [Tensor; 3] {
    let QuantizedParameters { weights, scales, bias } = parameters;
    let name = |what| format!("{}.{what}", layer.name);
    let weights = weights.iter().map(|&byte| byte as u8).collect();
    [
        (name("weight"), Dtype::I8, layer.shape.weight_shape(), weights),
        (name("weight_scale"), Dtype::F32, vec![scales.len()], scales.iter().flat_map(|x| x.to_le_bytes()).collect()),
        (name("bias"), Dtype::I32, vec![bias.len()], bias.iter().flat_map(|x| x.to_le_bytes()).collect()),
    ]
}

fn of_activations(params: &[QuantParams]) -> [Tensor; 2] {
    let scales = params.iter().flat_map(|params| params.scale.to_le_bytes()).collect();
    let zero_points = params.iter().map(|params| params.zero_point as u8).collect();
    [
        ("activation.scale".into(), Dtype::F32, vec![params.len()], scales),
        ("activation.zero_point".into(), Dtype::U8, vec![params.len()], zero_points),
    ]
}

fn parameters(tensors: &SafeTensors<'_>, layer: &Layer) -> Result<QuantizedParameters> {
    let shape = layer.shape.weight_shape();
    if shape.is_empty() {
        return Ok(QuantizedParameters::default());
    }
    let name = |what| format!("{}.{what}", layer.name);
    let channels = [layer.shape.cout];
    let weights = tensor(tensors, &name("weight"), Dtype::I8, &shape)?;
    Ok(QuantizedParameters {
        weights: weights.iter().map(|&byte| byte as i8).collect(),
        scales: scales(tensors, &name("weight_scale"), &channels)?,
        bias: words(tensor(tensors, &name("bias"), Dtype::I32, &channels)?).map(i32::from_le_bytes).collect(),
    })
}

fn activations(tensors: &SafeTensors<'_>, len: usize) -> Result<Vec<QuantParams>> {
    let scales = scales(tensors, "activation.scale", &[len])?;
    let zero_points = tensor(tensors, "activation.zero_point", Dtype::U8, &[len])?;
    Ok(scales.into_iter().zip(zero_points).map(|(scale, &zero)| QuantParams::new(scale, zero.into())).collect())
}

fn scales(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let scales: Vec<_> = words(tensor(tensors, name, Dtype::F32, shape)?).map(f32::from_le_bytes).collect();
    match scales.iter().find(|scale| !scale.is_normal() || scale.is_sign_negative()) {
        Some(scale) => Err(anyhow!("{name}: {scale} is no scale")),
        None => Ok(scales),
    }
}

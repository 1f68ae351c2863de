//! `kolibri export`: networks for other engines.

use super::Common;
use anyhow::{Context, Result};
use clap::Args;
use kolibri_zoo::{
    calibrate::{self, Ranges},
    photo,
    quantize::quantize,
};
use std::{fs, path::PathBuf};

#[derive(Args, Clone)]
pub struct Arguments {
    /// Networks; where zoo/models has no weights they come from a seed
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    /// The directory that gets one for each network
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// For each network a directory: `graph.json` and `f32.safetensors`, the network as its paper has it; `i8.safetensors`,
/// what kolibri makes of it in bytes; `input.f32`, a photo, and `calibration.f32`, crops of all, NHWC.
pub fn run(arguments: &Arguments) -> Result<()> {
    let common = &arguments.common;
    let kernels = common.kernels()?;
    let paths = common.photos(&[])?;
    let photos = paths.iter().map(|path| photo::open(path)).collect::<Result<Vec<_>>>()?;
    for name in &arguments.networks {
        let published = common.published(name)?;
        let preprocess = published.preprocess.clone();
        let input = photo::normalise(&photo::centre(&photos[0], &preprocess), &preprocess);
        let crops = calibrate::crops(&photos, &preprocess);
        let (graph, weights) = (serde_json::to_vec(&published.graph)?, published.to_bytes()?);
        let model = published.into_model();
        let observed = common.with_threads(|parallel| calibrate::observe(&model, &crops, kernels, parallel, || {}))?;
        let quantized = quantize(&model, &observed, Ranges::default()).to_bytes()?;

        let directory = arguments.out.join(name);
        fs::create_dir_all(&directory).with_context(|| format!("{}", directory.display()))?;
        let files = [
            ("graph.json", graph),
            ("f32.safetensors", weights),
            ("i8.safetensors", quantized),
            ("input.f32", le_bytes(&input)),
            ("calibration.f32", le_bytes(&crops.concat())),
        ];
        for (file, bytes) in files {
            let path = directory.join(file);
            fs::write(&path, bytes).with_context(|| format!("{}", path.display()))?;
        }
    }
    Ok(())
}

fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

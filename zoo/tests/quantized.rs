//! Whole networks in bytes: against the scalar reference, golden bits, and f32; and their files.

mod common;

use anyhow::{Result, anyhow};
use common::{CHELSEA, EMULATED, NETWORKS, bits, check_golden, golden, levels, path};
use kolibri::{Level, Rayon, Serial};
use kolibri_zoo::{
    calibrate::{self, Ranges},
    compare::compare,
    model::{Model, directory},
    network::Network,
    networks, photo,
    quantize::quantize,
    quantized::{QuantizedModel, QuantizedNetwork},
    random::Random,
    reference,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::HashMap, fs};

fn load(name: &str) -> Result<QuantizedModel> {
    QuantizedModel::load(&directory("models"), &QuantizedModel::path(&directory("models"), name), name)
}

/// A photo as recorded, so that no decoder has a say.
fn chelsea(name: &str, model: &QuantizedModel) -> Result<Vec<u8>> {
    let bytes = fs::read(path(name, "reference.safetensors"))?;
    let pixels = SafeTensors::deserialize(&bytes)?.tensor("input_u8")?.data().to_vec();
    let each = photo::SIDE * photo::SIDE * 3;
    Ok(photo::quantise(&pixels[CHELSEA * each..][..each], &model.preprocess, model.input()))
}

/// Sums of bytes are exact: not only levels with a fused multiply-add must agree.
#[test]
fn every_level_equals_the_reference_on_any_number_of_threads() -> Result<()> {
    for name in NETWORKS {
        let model = load(name)?;
        let input = chelsea(name, &model)?;
        let golden_name = format!("{name}_i8");
        if !EMULATED {
            let output = model.output(model.graph.layers.len() - 1);
            let logits = reference::run_quantized(&model, &input)?;
            check_golden(&golden_name, &bits(&logits.iter().map(|&q| output.dequantise(q)).collect::<Vec<_>>()))?;
        }
        let expected = golden(&golden_name)?;
        for kernels in levels() {
            let mut network = QuantizedNetwork::new(&model, kernels, 3)?;
            for threads in if EMULATED { 1..=1 } else { 1..=3 } {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                let logits = pool.install(|| network.run(&input, &Rayon).map(bits))?;
                assert!(logits == expected, "{name} {} on {threads} threads", kernels.level.name());
            }
        }
    }
    Ok(())
}

/// Concats, splits, shuffles, pools, squeeze-excites, and activations that no layer takes along.
const SEEDED: [&str; 4] = ["shufflenet_v2_0.5x", "shufflenet_v1_1x_g8", "mnasnet_a1", "nasnet_a_mobile_4at1056"];

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn networks_of_all_operators_equal_the_reference() -> Result<()> {
    for name in SEEDED {
        let model = Model::seeded(&networks::graph(name)?);
        let input = Random::default().values(model.graph.input.iter().product());
        let observed = calibrate::observe(&model, std::slice::from_ref(&input), Level::selected()?, &Serial, || {})?;
        let quantized = quantize(&model, &observed, Ranges::MinMax);
        let bytes: Vec<u8> = input.iter().map(|&x| quantized.input().quantise(x)).collect();
        let expected = reference::run_quantized(&quantized, &bytes)?;
        assert!(expected.iter().any(|&q| q != expected[0]), "{name}: logits that differ");
        for kernels in levels() {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
            for mut network in [
                Network::quantized(&quantized, kernels, 2)?,
                Network::quantized_layer_by_layer(&quantized, kernels, 2)?,
            ] {
                let logits = pool.install(|| network.run(&bytes, &Rayon).map(<[u8]>::to_vec))?;
                assert!(logits == expected, "{name} {}", kernels.level.name());
            }
        }
    }
    Ok(())
}

#[test]
fn networks_use_the_kernels_of_their_level() -> Result<()> {
    for name in NETWORKS {
        let model = load(name)?;
        for kernels in levels() {
            let listed: Vec<_> = kernels.list().map(|(name, _)| name).collect();
            let network = QuantizedNetwork::new(&model, kernels, 1)?.network;
            for (step, names) in network.steps().zip(network.kernel_names()) {
                let layer = &model.graph.layers[step.start];
                assert!(names.iter().all(|name| listed.contains(name)), "{name} {}: {names:?}", layer.name);
                let none = names.is_empty() && !layer.shape.weight_shape().is_empty();
                assert!(!none, "{name} {}: no kernel", layer.name);
            }
        }
    }
    Ok(())
}

/// Of a network: photos whose likeliest class must not change, and the mean cosine between logits, as the README states
/// them; of the cosines, what is rounded to that.
const AGREEMENT: [(&str, usize, f64); 2] = [("efficientnet_lite0", 6, 0.9975), ("mobilenet_v2", 6, 0.9925)];

/// Halves, what lies beyond the range, and what is no number become the bytes that one value at a time becomes.
#[test]
fn an_image_of_f32_becomes_bytes_first() -> Result<()> {
    let model = load(NETWORKS[0])?;
    let mut network = QuantizedNetwork::new(&model, Level::selected()?, 1)?;
    let params = model.input();
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e30, f32::MIN_POSITIVE];
    let halves = (-600..600).map(|i| i as f32 * 0.5 * params.scale);
    let input: Vec<f32> = special.into_iter().chain(halves).cycle().take(network.network.input_len()).collect();
    let bytes: Vec<u8> = input.iter().map(|&x| params.quantise(x)).collect();
    let expected = network.run(&bytes, &Serial)?.to_vec();
    assert_eq!(network.run_f32(&input, &Serial)?, expected);
    assert!(network.run_f32(&input[1..], &Serial).is_err());
    Ok(())
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn bytes_agree_with_f32() -> Result<()> {
    let photos = photo::all(&directory("photos"))?;
    assert_eq!(photos.len(), 6);
    for (name, top1_equal, least_mean) in AGREEMENT {
        let (model, quantized) = (Model::load(&directory("models"), name)?, load(name)?);
        let images = photos.iter().map(|path| Ok(photo::centre(&photo::open(path)?, &model.preprocess)));
        let images = images.collect::<Result<Vec<_>>>()?;
        let comparison = compare(&model, &quantized, &images, Level::selected()?, &Serial)?;
        let (mean, least) = comparison.cosines();
        let equal = comparison.top1_equal();
        println!("{name}: top-1 equal on {equal}, cosine {mean:.4}, at least {least:.4}");
        assert!(equal >= top1_equal, "{name}: {equal}");
        assert!(mean >= least_mean, "{name}: {mean}");
        // Each layer, so that a mistake in one cannot hide: the least that we saw is 12.6.
        for (layer, snr) in model.graph.layers.iter().zip(comparison.snr) {
            assert!(snr > 12.0, "{name} {}: {snr} dB", layer.name);
        }
    }
    Ok(())
}

/// The files in the repository are no one's secret: the same bytes can be made again on every CPU with a fused
/// multiply-add.
#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn the_quantiser_makes_the_stored_files_again() -> Result<()> {
    let kernels = Level::selected()?;
    if !kernels.fma {
        println!("SKIPPED: {} rounds another way", kernels.level.name());
        return Ok(());
    }
    let photos = photo::all(&directory("photos"))?.iter().map(|path| photo::open(path)).collect::<Result<Vec<_>>>()?;
    for name in NETWORKS {
        let model = Model::load(&directory("models"), name)?;
        let inputs = calibrate::crops(&photos, &model.preprocess);
        let mut runs = 0;
        let observed = calibrate::observe(&model, &inputs, kernels, &Serial, || runs += 1)?;
        assert_eq!(runs, 2 * inputs.len());
        let made = quantize(&model, &observed, Ranges::default()).to_bytes()?;
        let stored = fs::read(QuantizedModel::path(&directory("models"), name))?;
        assert!(made == stored, "{name}");
    }
    Ok(())
}

#[test]
fn files_are_small_and_hold_all_there_is() -> Result<()> {
    for name in NETWORKS {
        let stored = fs::read(QuantizedModel::path(&directory("models"), name))?;
        let f32 = Model::load(&directory("models"), name)?.parameter_bytes();
        assert!(stored.len() * 100 <= f32 * 27, "{name}: {} of {f32}", stored.len());
        let model = load(name)?;
        assert!(model.to_bytes()? == stored, "{name}");
        assert!(model.parameter_bytes() < stored.len());
    }
    Ok(())
}

/// What a file's mistake is called.
fn mistake(bytes: &[u8]) -> Result<String> {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistake.i8.safetensors");
    fs::write(&file, bytes)?;
    match QuantizedModel::load(&directory("models"), &file, "mobilenet_v2") {
        Ok(_) => Err(anyhow!("the file was loaded")),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn mistakes_in_files_are_named() -> Result<()> {
    let stored = fs::read(QuantizedModel::path(&directory("models"), "mobilenet_v2"))?;
    let says = |bytes: &[u8], words: &[&str]| -> Result<()> {
        let mistake = mistake(bytes)?;
        assert!(mistake.starts_with(env!("CARGO_TARGET_TMPDIR")), "{mistake}");
        assert!(words.iter().all(|word| mistake.contains(word)), "{mistake}");
        Ok(())
    };
    says(&stored[..stored.len() - 1], &["incomplete"])?;
    says(&stored[..4], &["header"])?;
    says(&fs::read(path("mobilenet_v2", "mobilenet_v2.f16.safetensors"))?, &["no network in bytes", "kolibri"])?;
    let other = fs::read(QuantizedModel::path(&directory("models"), "efficientnet_lite0"))?;
    says(&other, &["expected the network 'mobilenet_v2'", "'efficientnet_lite0'"])?;

    // As long as what it replaces, so that the header's length stays true.
    let edited = |from: &str, to: &str| {
        let at = stored.windows(from.len()).position(|bytes| bytes == from.as_bytes()).expect("it is in the header");
        [&stored[..at], to.as_bytes(), &stored[at + from.len()..]].concat()
    };
    says(&edited(r#"{\"format\":1"#, r#"{\"format\":7"#), &["format 7"])?;
    says(&edited(r#"\"ranges\""#, r#"\"Ranges\""#), &["metadata", "ranges"])?;
    says(&edited("stem.bias", "stem.Bias"), &["stem.bias"])?;

    let tensors = SafeTensors::deserialize(&stored)?;
    let (_, metadata) = SafeTensors::read_metadata(&stored)?;
    let with = |name: &str, dtype, shape: &[usize], data: &[u8]| -> Result<Vec<u8>> {
        let mut views: HashMap<String, TensorView<'_>> = tensors.tensors().into_iter().collect();
        views.insert(name.to_owned(), TensorView::new(dtype, shape.to_vec(), data)?);
        Ok(safetensors::serialize(views, metadata.metadata().clone())?)
    };
    says(&with("stem.bias", Dtype::F32, &[32], &[0; 128])?, &["stem.bias", "I32", "F32"])?;
    says(&with("stem.bias", Dtype::I32, &[16], &[0; 64])?, &["stem.bias", "[32]", "[16]"])?;
    says(&with("activation.zero_point", Dtype::U8, &[54], &[0; 54])?, &["activation.zero_point", "[55]", "[54]"])?;
    for scale in [0.0f32, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        let scales: Vec<u8> = [scale; 32].iter().flat_map(|x| x.to_le_bytes()).collect();
        says(&with("stem.weight_scale", Dtype::F32, &[32], &scales)?, &["stem.weight_scale", "no scale"])?;
    }
    Ok(())
}

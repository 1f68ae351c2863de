//! Whole networks against recorded logits and activations, against the scalar reference, and against golden bits.

mod common;

use anyhow::Result;
use common::{CHELSEA, EMULATED, NETWORKS, bits, blessing, check_golden, fused_levels, golden, levels, path};
use kolibri::{Rayon, Serial};
use kolibri_zoo::{
    graph::Graph,
    layer::Op,
    model::{Model, Preprocess, Published, directory, read_json, seeded},
    network::{Network, values},
    networks, photo,
    random::Random,
    reference,
};
use safetensors::SafeTensors;
use serde::Deserialize;
use std::{collections::BTreeMap, fs};

/// The recorded logits were summed in another order. Logits reach 21; the largest difference that we saw is 3e-5.
const LOGITS_BOUND: f32 = 2e-4;
/// What is recorded of a network.
struct Recorded {
    model: Model,
    /// Six photos, ready for the network.
    inputs: Vec<Vec<f32>>,
    /// Logits of each, by the f16 weights that we have, computed in f32.
    logits: Vec<Vec<f32>>,
}

impl Recorded {
    fn load(name: &str) -> Result<Self> {
        let model = Model::load(&directory("models"), name)?;
        let bytes = fs::read(path(name, "reference.safetensors"))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let pixels = tensors.tensor("input_u8")?.data().chunks(photo::SIDE * photo::SIDE * 3);
        let inputs = pixels.map(|pixels| photo::normalise(pixels, &model.preprocess)).collect();
        let logits = tensors.tensor("logits_f16_weights")?.data().chunks(1000 * size_of::<f32>());
        let floats = |bytes: &[u8]| bytes.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(Recorded { model, inputs, logits: logits.map(floats).collect() })
    }
}

#[derive(Deserialize)]
struct Top5File {
    photos: Vec<Top5Photo>,
}

#[derive(Deserialize)]
struct Top5Photo {
    photo: String,
    top5: Vec<Top5Class>,
    /// Whether rounding the weights to f16 left the five as they were.
    f16_top5_equal: bool,
}

#[derive(Deserialize)]
struct Top5Class {
    index: usize,
}

#[derive(Deserialize)]
struct ActivationsFile {
    layers: Vec<Activations>,
}

#[derive(Deserialize)]
struct Activations {
    name: String,
    mean: f64,
    absmax: f64,
    l2: f64,
    first8: [f64; 8],
}

/// The five largest, largest first.
fn five(logits: &[f32]) -> Vec<usize> {
    photo::top5(logits).expect("finite logits").iter().map(|guess| guess.class).collect()
}

#[test]
fn weights_are_written_in_f32_as_they_were_read_from_f16() -> Result<()> {
    let read = Published::load(&directory("models"), "mobilenet_v2")?;
    let again = Published::from_bytes(&read.to_bytes()?, read.graph.clone(), Preprocess::default())?;
    assert!(again.parameters == read.parameters);
    let mut cut = read.to_bytes()?;
    cut.truncate(cut.len() - 4);
    assert!(Published::from_bytes(&cut, read.graph, Preprocess::default()).is_err());
    Ok(())
}

#[test]
fn logits_are_those_recorded() -> Result<()> {
    for name in NETWORKS {
        let recorded = Recorded::load(name)?;
        let top5: Top5File = read_json(&path(name, "reference_top5.json"))?;
        let photos = if EMULATED { 0 } else { top5.photos.len() };
        for kernels in levels() {
            let mut network = Network::new(&recorded.model, kernels, 1)?;
            let mut worst = 0.0f32;
            for (i, photo) in top5.photos[..photos].iter().enumerate() {
                let logits = network.run(&recorded.inputs[i], &Serial)?;
                let differences = logits.iter().zip(&recorded.logits[i]).map(|(a, b)| (a - b).abs());
                worst = differences.fold(worst, f32::max);
                let what = format!("{name} {} {}", kernels.level.name(), photo.photo);
                assert!(worst <= LOGITS_BOUND, "{what}: {worst}");
                assert_eq!(five(logits), five(&recorded.logits[i]), "{what}");
                let published: Vec<_> = photo.top5.iter().map(|class| class.index).collect();
                assert!(!photo.f16_top5_equal || five(logits) == published, "{what}: the five of the f32 weights");
            }
            println!("{name} {}: logits differ by up to {worst:e}", kernels.level.name());
        }
    }
    Ok(())
}

/// Each layer, so that two mistakes cannot make up for each other. The recorded values are those of the f32 weights: the
/// rounding to f16 shows.
#[test]
fn activations_are_those_recorded() -> Result<()> {
    for name in NETWORKS {
        let recorded = Recorded::load(name)?;
        let expected: ActivationsFile = read_json(&path(name, "activations_chelsea.json"))?;
        for kernels in if EMULATED { Vec::new() } else { levels() } {
            let mut network = Network::layer_by_layer(&recorded.model, kernels, 1)?;
            assert_eq!(expected.layers.len(), network.layers().len());
            let mut worst = [0.0f64; 3];
            network.run_each(&recorded.inputs[CHELSEA], &Serial, |i, y| {
                let (expected, y) = (&expected.layers[i], values(y));
                let l2 = y.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                let mean = y.iter().map(|&x| f64::from(x)).sum::<f64>() / y.len() as f64;
                // A mean may be nearly nothing: what counts is how it compares with the size of the values.
                let typical = expected.l2 / (y.len() as f64).sqrt();
                let first8 = y.iter().zip(expected.first8).map(|(&x, e)| (f64::from(x) - e).abs()).fold(0.0, f64::max);
                let off =
                    [(l2 / expected.l2 - 1.0).abs(), (mean - expected.mean).abs() / typical, first8 / expected.absmax];
                for ((worst, off), bound) in worst.iter_mut().zip(off).zip(ACTIVATION_BOUNDS) {
                    *worst = worst.max(off);
                    assert!(off <= bound, "{name} {}: {off} > {bound}", expected.name);
                }
            })?;
            println!("{name} {}: l2, mean, first values are off by up to {worst:?}", kernels.level.name());
        }
    }
    Ok(())
}

/// Relative differences of l2; of means, to the root mean square; of the first values, to the largest. We saw a third of
/// these.
const ACTIVATION_BOUNDS: [f64; 3] = [0.01, 0.005, 0.01];

#[test]
fn every_fused_level_equals_the_reference_on_any_number_of_threads() -> Result<()> {
    for name in if EMULATED { &[][..] } else { &NETWORKS } {
        let recorded = Recorded::load(name)?;
        let input = &recorded.inputs[CHELSEA];
        let expected = bits(&reference::run(&recorded.model.graph, &recorded.model.parameters, input)?);
        check_golden(name, &expected)?;
        for kernels in fused_levels() {
            let mut network = Network::new(&recorded.model, kernels, 3)?;
            for threads in 1..=3 {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
                let logits = pool.install(|| network.run(input, &Rayon).map(bits))?;
                assert!(logits == expected, "{name} {} on {threads} threads", kernels.level.name());
            }
        }
    }
    Ok(())
}

/// This holds other architectures to the same bits.
#[test]
fn every_fused_level_equals_the_golden_bits() -> Result<()> {
    // While another test writes them, there is nothing to compare with.
    let networks = if blessing() { &[][..] } else { &NETWORKS };
    for name in networks {
        let recorded = Recorded::load(name)?;
        for kernels in fused_levels() {
            let mut network = Network::new(&recorded.model, kernels, 1)?;
            let logits = network.run(&recorded.inputs[CHELSEA], &Serial)?;
            check_close(logits, &recorded.logits[CHELSEA]);
            assert!(golden(name)? == bits(logits), "{name} {}", kernels.level.name());
        }
    }
    Ok(())
}

fn check_close(logits: &[f32], recorded: &[f32]) {
    assert_eq!(logits.len(), recorded.len());
    assert!(logits.iter().zip(recorded).all(|(a, b)| (a - b).abs() <= LOGITS_BOUND));
}

/// Each layer's kernel names belong to the level that was asked for, and what `list` promises exists.
#[test]
fn networks_use_the_kernels_of_their_level() -> Result<()> {
    let models: BTreeMap<_, _> =
        NETWORKS.iter().map(|name| Ok((name, Model::load(&directory("models"), name)?))).collect::<Result<_>>()?;
    for kernels in levels() {
        let listed: Vec<_> = kernels.list().map(|(name, _)| name).collect();
        for (name, model) in &models {
            for names in Network::new(model, kernels, 1)?.kernel_names() {
                assert!(!names.is_empty() && names.iter().all(|name| listed.contains(name)), "{name}: {names:?}");
            }
        }
    }
    Ok(())
}

/// As their papers have them: what [`kolibri_zoo::simplify`] does, where values lie and what runs as one changes no bit;
/// but the order of sums changes where a shuffle is folded into weights.
#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn every_network_equals_the_reference_of_its_paper() -> Result<()> {
    let graphs = networks::known().map(|name| networks::graph(&name)).collect::<Result<Vec<_>>>()?;
    for graph in graphs.iter().filter(|graph| graph.macs() < 1_000_000_000) {
        let (name, input) = (&graph.name, Random::default().values(graph.input.iter().product()));
        let paper = reference::run(graph, &seeded(graph), &input)?;
        let largest = paper.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        assert!(largest < 1e4 && paper.iter().any(|&x| x != paper[0]), "{name}: weights of a sensible size");
        let model = Model::seeded(graph);
        let shuffles = |graph: &Graph| graph.layers.iter().any(|layer| layer.shape.op == Op::Shuffle);
        let expected = if shuffles(graph) && !shuffles(&model.graph) {
            let folded = reference::run(&model.graph, &model.parameters, &input)?;
            let off = paper.iter().zip(&folded).fold(0.0f32, |off, (a, b)| off.max((a - b).abs()));
            assert!(off < 1e-5 * largest, "{name}: {off} of {largest}");
            folded
        } else {
            paper
        };
        for kernels in fused_levels() {
            let mut network = Network::new(&model, kernels, 2)?;
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build()?;
            let logits = pool.install(|| network.run(&input, &Rayon).map(bits))?;
            assert!(logits == bits(&expected), "{name} {}", kernels.level.name());
        }
    }
    Ok(())
}

//! From a photo to a network's input, and from logits to an answer.
//!
//! The passes over values here are streaming code of no network's inner loop: `pulp` compiles them for what the CPU has.

use crate::model::{Filter, Preprocess, Rounding};
use anyhow::{Context, Result, ensure};
use image::{DynamicImage, imageops::FilterType};
use kolibri::QuantParams;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Height and width of an input.
pub const SIDE: usize = 224;

/// The photos in a directory, by name.
///
/// # Errors
/// A directory that cannot be read or has none.
pub fn all(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("{}", directory.display()))?;
    let is_photo = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "png" || extension == "jpg");
    let mut photos: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_photo).collect();
    photos.sort();
    ensure!(!photos.is_empty(), "{}: no photos", directory.display());
    Ok(photos)
}

/// Reads a photo.
///
/// # Errors
/// A file that is missing or no image.
pub fn open(path: &Path) -> Result<DynamicImage> {
    image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(anyhow::Error::from)
        .and_then(|reader| Ok(reader.decode()?))
        .with_context(|| format!("{}", path.display()))
}

/// The part of a photo that a network sees, resized: `SIDE * SIDE` pixels of red, green, blue.
pub fn centre(photo: &DynamicImage, preprocess: &Preprocess) -> Vec<u8> {
    let (w, h) = (photo.width(), photo.height());
    let side = 224.0 / 256.0 * f64::from(w.min(h));
    let side = match preprocess.rounding {
        Rounding::Floor => side.floor(),
        Rounding::Nearest => side.round_ties_even(),
    } as u32;
    let side = side.max(1);
    // Odd margins: the networks' own programs leave the pixel more at the left and the top.
    square(photo, [(w - side).div_ceil(2), (h - side).div_ceil(2)], side, preprocess)
}

/// A square of a photo, resized.
pub fn square(photo: &DynamicImage, [x, y]: [u32; 2], side: u32, preprocess: &Preprocess) -> Vec<u8> {
    let filter = match preprocess.filter {
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Bilinear => FilterType::Triangle,
    };
    let square = photo.crop_imm(x, y, side, side).into_rgb8();
    image::imageops::resize(&square, SIDE as u32, SIDE as u32, filter).into_raw()
}

/// `(u8 / unit - mean) / std`, each step rounded, so that every CPU computes the same bits.
pub fn normalise(pixels: &[u8], preprocess: &Preprocess) -> Vec<f32> {
    let Preprocess { unit, mean, std, .. } = *preprocess;
    let mut input = vec![0.0; pixels.len()];
    pulp::Arch::new().dispatch(|| {
        for (x, pixel) in input.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
            for c in 0..3 {
                x[c] = (f32::from(pixel[c]) / unit - mean[c]) / std[c];
            }
        }
    });
    input
}

/// The bytes of [`normalise`]'s values.
pub fn quantise(pixels: &[u8], preprocess: &Preprocess, params: QuantParams) -> Vec<u8> {
    normalise(pixels, preprocess).into_iter().map(|x| params.quantise(x)).collect()
}

/// `exp(logit)`, scaled so that the sum is 1.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let mut probabilities = logits.to_vec();
    pulp::Arch::new().dispatch(|| {
        // Less the maximum, so that nothing overflows.
        let max = probabilities.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
        probabilities.iter_mut().for_each(|x| *x = (*x - max).exp());
        let scale = 1.0 / probabilities.iter().sum::<f32>();
        probabilities.iter_mut().for_each(|x| *x *= scale);
    });
    probabilities
}

/// A class that a network sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// Its index among the logits.
    pub class: usize,
    /// How sure the network is.
    pub probability: f32,
}

/// The five likeliest classes, likeliest first.
///
/// # Errors
/// Logits that are not numbers.
pub fn top5(logits: &[f32]) -> Result<Vec<Guess>> {
    ensure!(logits.iter().all(|logit| logit.is_finite()), "a logit is no finite number");
    let probabilities = softmax(logits);
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    Ok(classes.into_iter().take(5).map(|class| Guess { class, probability: probabilities[class] }).collect())
}

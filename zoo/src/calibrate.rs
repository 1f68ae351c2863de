//! What values a network's layers put out for photos, and which range of them bytes should stand for.

use crate::{
    model::{Model, Preprocess},
    network::{Network, values},
    photo,
    quantize::tied,
    random::Random,
};
use anyhow::Result;
use clap::ValueEnum;
use image::DynamicImage;
use kolibri::{Parallel, QuantParams, kernels::Kernels};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Crops of each photo: 24 of six.
pub const CROPS: usize = 4;
/// Eight to each step of a byte, where nothing is cut off.
const BINS: usize = 2048;
/// The part of the values that [`Ranges::Percentile`] cuts off at each end.
const CUT: f64 = 1e-5;
/// Parts of the range, from a half to all of it, among which [`Ranges::Mse`] chooses.
const ENDS: usize = 50;

/// How the range is chosen that bytes stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ranges {
    /// From the least to the greatest value
    MinMax,
    /// All but a hundred-thousandth of the values at each end
    Percentile,
    /// The range with the least mean squared error
    #[default]
    Mse,
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ranges::MinMax => "min-max",
            Ranges::Percentile => "percentile",
            Ranges::Mse => "mse",
        })
    }
}

/// Inputs made of random squares of photos, 60 to 100 % of the shorter side: the same ones everywhere.
pub fn crops(photos: &[DynamicImage], preprocess: &Preprocess) -> Vec<Vec<f32>> {
    let mut random = Random::default();
    let crop = |photo: &DynamicImage| {
        let size = [photo.width(), photo.height()];
        let shorter = size[0].min(size[1]);
        let side = random.between((shorter * 3).div_ceil(5), shorter);
        let corner = size.map(|size| random.between(0, size - side));
        photo::normalise(&photo::square(photo, corner, side, preprocess), preprocess)
    };
    photos.iter().flat_map(|photo| [photo; CROPS]).map(crop).collect()
}

/// The values that a tensor had.
#[derive(Clone, Debug)]
pub struct Observed {
    min: f32,
    max: f32,
    /// How many of them lie where between the least and the greatest.
    bins: Vec<u64>,
    /// Of each channel.
    sums: Vec<f64>,
    pixels: usize,
}

/// What the input and, after it, each layer's output had over `inputs`, which are run twice; `progress` is called after
/// each run.
///
/// # Errors
/// As [`Network::run`].
pub fn observe(
    model: &Model,
    inputs: &[Vec<f32>],
    kernels: &'static Kernels,
    parallel: &dyn Parallel,
    mut progress: impl FnMut(),
) -> Result<Vec<Observed>> {
    let mut network = Network::layer_by_layer(model, kernels, parallel.threads())?;
    let graph = &model.graph;
    let mut observed: Vec<_> = (0..graph.values()).map(|value| Observed::nothing(graph.shape(value)[2])).collect();
    let tied = tied(graph);
    // Values can be counted when it is known between which they lie, also those that they are tied to.
    let passes: [(Look, Share); 2] =
        [(Observed::extend, Observed::share_range), (Observed::count, Observed::share_bins)];
    for (look, share) in passes {
        for input in inputs {
            look(&mut observed[0], input);
            network.run_each(input, parallel, |i, y| look(&mut observed[i + 1], &values(y)))?;
            progress();
        }
        // All tell the first, and the first tells all.
        for all in [false, true] {
            for (value, &first) in tied.iter().enumerate().filter(|&(value, &first)| value != first) {
                let [one, other] = if all { [value, first] } else { [first, value] };
                let from = observed[other].clone();
                share(&mut observed[one], &from, all);
            }
        }
    }
    Ok(observed)
}

type Look = fn(&mut Observed, &[f32]);
/// From another; whether that one has been told everything.
type Share = fn(&mut Observed, &Observed, bool);

impl Observed {
    fn nothing(channels: usize) -> Self {
        Observed { min: 0.0, max: 0.0, bins: vec![0; BINS], sums: vec![0.0; channels], pixels: 0 }
    }

    /// What was seen of pixels.
    #[cfg(test)]
    pub(crate) fn of(channels: usize, values: &[f32]) -> Self {
        let mut observed = Self::nothing(channels);
        observed.extend(values);
        observed.count(values);
        observed
    }

    fn extend(&mut self, values: &[f32]) {
        (self.min, self.max) = values.iter().fold((self.min, self.max), |(min, max), &x| (min.min(x), max.max(x)));
        for pixel in values.chunks_exact(self.sums.len()) {
            self.sums.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += f64::from(x));
            self.pixels += 1;
        }
    }

    fn share_range(&mut self, other: &Observed, _: bool) {
        (self.min, self.max) = (self.min.min(other.min), self.max.max(other.max));
    }

    fn share_bins(&mut self, other: &Observed, all: bool) {
        let bins = self.bins.iter_mut().zip(&other.bins);
        bins.for_each(|(bin, other)| *bin = if all { *other } else { *bin + other });
    }

    fn count(&mut self, values: &[f32]) {
        let per_value = 1.0 / self.bin().max(f32::MIN_POSITIVE);
        for &x in values {
            self.bins[(((x - self.min) * per_value) as usize).min(BINS - 1)] += 1;
        }
    }

    /// The width of a bin.
    fn bin(&self) -> f32 {
        (self.max - self.min) / BINS as f32
    }

    /// The mean of a channel.
    pub fn mean(&self, channel: usize) -> f64 {
        self.sums[channel] / self.pixels.max(1) as f64
    }

    /// What bytes should stand for.
    pub fn params(&self, ranges: Ranges) -> QuantParams {
        let (min, max) = match ranges {
            Ranges::MinMax => (self.min, self.max),
            Ranges::Percentile => {
                let few = (self.bins.iter().sum::<u64>() as f64 * CUT) as u64;
                let below = bins_of(few, self.bins.iter()) as f32 * self.bin();
                let above = bins_of(few, self.bins.iter().rev()) as f32 * self.bin();
                (self.min + below, self.max - above)
            }
            Ranges::Mse => self.least_error(),
        };
        QuantParams::for_range::<u8>(min, max)
    }

    /// Both ends at once, then each by itself: where one is best depends on the other.
    fn least_error(&self) -> (f32, f32) {
        let best = |range: &dyn Fn(f32) -> (f32, f32)| {
            let ranges = (ENDS..=2 * ENDS).map(|i| range(i as f32 / (2 * ENDS) as f32));
            let errors = ranges.map(|(min, max)| (self.error(QuantParams::for_range::<u8>(min, max)), (min, max)));
            errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(range(1.0), |(_, range)| range)
        };
        let (min, _) = best(&|part| (self.min * part, self.max * part));
        let (_, max) = best(&|part| (min, self.max * part));
        best(&|part| (self.min * part, max))
    }

    /// The sum of squared differences between values and what their bytes stand for.
    fn error(&self, params: QuantParams) -> f64 {
        let error = |(i, &count): (usize, &u64)| {
            let x = self.min + (i as f32 + 0.5) * self.bin();
            let difference = f64::from(x - params.dequantise(params.quantise::<u8>(x)));
            count as f64 * difference * difference
        };
        self.bins.iter().enumerate().filter(|(_, count)| **count > 0).map(error).sum()
    }
}

/// How many of the first bins hold no more than `few` values together.
fn bins_of<'a>(few: u64, bins: impl Iterator<Item = &'a u64>) -> usize {
    let sums = bins.scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= few).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand values from 0 to 1, evenly, and one of 10.
    fn observed() -> Observed {
        let values: Vec<f32> = (0..1000).map(|i| i as f32 / 999.0).chain([10.0]).collect();
        Observed::of(1, &values)
    }

    #[test]
    fn ranges_are_what_they_are_called() {
        let range = |ranges| observed().params(ranges).scale * 255.0;
        assert_eq!(range(Ranges::MinMax), 10.0);
        assert_eq!(range(Ranges::Percentile), 10.0, "one of a thousand values is more than is cut off");
        assert_eq!(range(Ranges::Mse), 10.0, "without the outlier the error is more than finer steps save");
        let mut many = observed();
        many.bins.iter_mut().take(BINS / 10).for_each(|count| *count *= 1_000_000);
        assert_eq!(many.params(Ranges::Mse).scale * 255.0, 5.0, "the outlier does not count any more");
        let percentile = many.params(Ranges::Percentile).scale * 255.0;
        assert!((0.9..1.1).contains(&percentile), "{percentile}");
        assert!((observed().mean(0) - 510.0 / 1001.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_always_zero_has_a_range() {
        let observed = Observed::of(2, &[0.0; 4]);
        for ranges in [Ranges::MinMax, Ranges::Percentile, Ranges::Mse] {
            assert_eq!(observed.params(ranges), QuantParams::new(1.0, 0));
        }
    }

    #[test]
    fn crops_stay_inside_the_photo() {
        let preprocess = Preprocess::default();
        for (w, h) in [(7, 300), (300, 7), (1, 1)] {
            assert_eq!(crops(&[DynamicImage::new_rgb8(w, h)], &preprocess).len(), CROPS);
        }
    }
}

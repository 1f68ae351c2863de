//! Repeated measurement.

use anyhow::Result;
use std::time::{Duration, Instant};

/// Seconds, shortest first. Never empty.
#[derive(Clone, Debug)]
pub struct Times(Vec<f64>);

impl Times {
    /// Calls `f` until `budget` is spent, at least once and at most `most` times.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn measure(budget: Duration, most: usize, mut f: impl FnMut() -> Result<()>) -> Result<Times> {
        Times::collect(budget, most, || {
            let start = Instant::now();
            f()?;
            Ok(start.elapsed().as_secs_f64())
        })
    }

    /// As [`Times::measure`], of what `f` says that it took: it does more than is measured.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn collect(budget: Duration, most: usize, mut f: impl FnMut() -> Result<f64>) -> Result<Times> {
        let begin = Instant::now();
        let mut seconds = Vec::new();
        while seconds.is_empty() || seconds.len() < most && begin.elapsed() < budget {
            seconds.push(f()?);
        }
        Ok(Times::new(seconds))
    }

    /// As [`Times::measure`] of one or two, which take turns of `turn` each: what disturbs the machine disturbs both.
    ///
    /// # Errors
    /// The first error of either.
    pub fn measure_in_turns(
        budget: Duration,
        turn: Duration,
        first: &mut dyn FnMut() -> Result<()>,
        mut second: Option<&mut dyn FnMut() -> Result<()>>,
    ) -> Result<(Times, Option<Times>)> {
        let begin = Instant::now();
        let mut seconds = [Vec::new(), Vec::new()];
        while seconds[0].is_empty() || begin.elapsed() < budget {
            seconds[0].extend(Times::measure(turn, usize::MAX, &mut *first)?.0);
            if let Some(second) = &mut second {
                seconds[1].extend(Times::measure(turn, usize::MAX, second)?.0);
            }
        }
        let [first, second_seconds] = seconds;
        Ok((Times::new(first), second.map(|_| Times::new(second_seconds))))
    }

    /// Of measured seconds, at least one.
    pub fn new(mut seconds: Vec<f64>) -> Times {
        assert!(!seconds.is_empty(), "nothing was measured");
        seconds.sort_by(f64::total_cmp);
        Times(seconds)
    }

    /// The shortest: what the machine can do when nothing disturbs it.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The one in the middle.
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }
}

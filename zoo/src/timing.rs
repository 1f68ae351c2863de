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
        let begin = Instant::now();
        let mut seconds = Vec::new();
        while seconds.is_empty() || seconds.len() < most && begin.elapsed() < budget {
            let start = Instant::now();
            f()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(Times::new(seconds))
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

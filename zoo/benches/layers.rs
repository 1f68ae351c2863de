//! Every distinct layer shape of the networks that `kolibri_zoo::networks` knows, as a lone operator with hot caches on one thread, on
//! the level in use, in f32 and where there is such an operator in bytes: microseconds by criterion, and the share of the
//! peak measured in the same run.
//!
//! `KOLIBRI_ISA=avx2 cargo bench --bench layers -- 14x14x512` for some of them on another level.

use criterion::{Criterion, criterion_group, criterion_main};
use kolibri::{Error, Level, Serial};
use kolibri_zoo::{
    lone::{self, Lone},
    networks, peak,
    simplify::simplify,
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

fn all(criterion: &mut Criterion) {
    let kernels = Level::selected().expect("KOLIBRI_ISA names known levels");
    let graphs = networks::known().map(|name| networks::graph(&name).expect("it is known"));
    let layers: Vec<_> = graphs.flat_map(|graph| simplify(&graph, Vec::new()).0.layers).collect();
    let peaks = [peak::fma(kernels, &Serial), peak::dot(kernels, &Serial)].map(|peak| peak.expect("it needs nothing"));
    let mut group = criterion.benchmark_group(kernels.level.name());
    group.warm_up_time(Duration::from_millis(20)).measurement_time(Duration::from_millis(100)).sample_size(10);
    let mut seen = BTreeSet::new();
    for lone::Distinct { layer, .. } in lone::distinct(&layers) {
        if layer.shape.is_view() {
            continue;
        }
        let residual = if layer.residual().is_some() { " + residual" } else { "" };
        let name = format!("{} {}{residual}", layer.shape.op_name(), layer.shape.describe());
        // Shapes that differ in their activation only, which costs nothing, have one name.
        if !seen.insert(name.clone()) {
            continue;
        }
        let mut operator = Lone::new(std::slice::from_ref(&layer), kernels, 1).expect("the shapes were checked");
        let mut measure = |name: &str, peak: f64, run: &mut dyn FnMut() -> Result<(), Error>| {
            let mut best = f64::INFINITY;
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let start = Instant::now();
                    (0..iterations).for_each(|_| run().expect("the shapes were checked"));
                    let elapsed = start.elapsed();
                    best = best.min(elapsed.as_secs_f64() / iterations as f64);
                    elapsed
                })
            });
            let rate = layer.shape.flops() / best;
            if best.is_finite() && rate > 0.0 {
                println!("{name}: {:.1} Gop/s, {:.1} % of {:.1}", rate * 1e-9, 100.0 * rate / peak, peak * 1e-9);
            }
        };
        measure(&name, peaks[0], &mut || operator.run(&Serial));
        let mut operator = Lone::quantized(std::slice::from_ref(&layer), kernels, 1).expect("the shapes were checked");
        measure(&format!("{name} int8"), peaks[1], &mut || operator.run(&Serial));
    }
}

criterion_group!(benches, all);
criterion_main!(benches);

//! `kolibri cost`: what a network costs in operations and memory, before anything is measured.

use super::{print, print_json};
use anyhow::Result;
use clap::Args;
use kolibri::Level;
use kolibri_zoo::{
    fuse,
    graph::Graph,
    layer::Shape,
    model::Model,
    network::Network,
    networks,
    place::Places,
    report::{Cell, Report, Table},
    simplify::simplify,
};
use std::ops::Range;

/// Bytes of a value.
const F32: usize = size_of::<f32>();

#[derive(Args, Clone)]
pub struct Arguments {
    /// Network
    network: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let graph = networks::graph(&arguments.network)?;
    let (simple, _) = simplify(&graph, Vec::new());
    let steps = fuse::steps(&simple);
    let places = Places::new(&simple, &steps);
    let model = Model::seeded(&graph);
    let kernels = Level::selected()?;
    let [arena, workspace] = Network::new(&model, kernels, 1)?.memory();
    let [arena_alone, workspace_alone] = Network::layer_by_layer(&model, kernels, 1)?.memory();

    let mut report = Report::default();
    report.tables.extend([layers(&graph), buffers(&simple, &steps, &places)]);
    let mut fact = |name, value: usize| report.fact(name, Cell::number(value as f64, 0));
    fact("layers", graph.layers.len());
    fact("multiply-adds", graph.macs());
    fact("parameters", graph.params());
    fact("weight bytes", graph.params() * F32);
    fact("int8 weight bytes", graph.layers.iter().map(|layer| int8_bytes(&layer.shape)).sum());
    fact("arena bytes", arena);
    fact("int8 arena bytes", places.len);
    fact("workspace bytes, one thread", workspace);
    fact("arena bytes, layer by layer", arena_alone);
    fact("workspace bytes, layer by layer", workspace_alone);
    let all: usize = graph.layers.iter().map(|layer| layer.shape.y_len()).sum();
    fact("bytes of all activations", all * F32);
    fact("int8 bytes of all activations", all);
    report.fact("network", Cell::text(&graph.name));
    if arguments.json { print_json(&report.json()) } else { print(report) }
}

/// Weights of a byte each, and for each output channel a bias of 32 bits and a scale in f32.
fn int8_bytes(shape: &Shape) -> usize {
    shape.weight_shape().into_iter().reduce(|all, side| all * side).map_or(0, |all| all + 2 * F32 * shape.cout)
}

fn layers(graph: &Graph) -> Table {
    let columns = &[
        "layer",
        "op",
        "shape",
        "multiply-adds",
        "parameters",
        "weight bytes",
        "int8 weight bytes",
        "bytes in",
        "bytes out",
    ];
    let title = format!("{}: layers as the paper has them; activations in f32, a quarter in int8", graph.name);
    let mut table = Table::new(title, columns);
    for (i, layer) in graph.layers.iter().enumerate() {
        let values = |value: usize| graph.shape(value).iter().product::<usize>();
        let read: usize = layer.inputs.iter().map(|&value| values(value)).sum();
        let (shape, number) = (&layer.shape, |n: usize| Cell::number(n as f64, 0));
        table.row([
            Cell::text(&layer.name),
            Cell::text(shape.op_name()),
            Cell::text(shape.describe()),
            number(shape.macs),
            number(shape.params()),
            number(shape.params() * F32),
            number(int8_bytes(shape)),
            number(read * F32),
            number(values(i + 1) * F32),
        ]);
    }
    table
}

/// The plan that networks run by: of the layers that operators do, to which the paper's are simplified.
fn buffers(graph: &Graph, steps: &[Range<usize>], places: &Places) -> Table {
    let columns = &["buffer", "from layer", "to layer", "offset", "bytes", "int8 offset", "int8 bytes"];
    let mut table = Table::new("memory plan: buffers of the arena, in bytes", columns);
    let mut order: Vec<_> = places.buffers.iter().collect();
    order.sort_by_key(|buffer| buffer.used);
    for (i, buffer) in order.into_iter().enumerate() {
        let number = |n: usize| Cell::number(n as f64, 0);
        let [from, to] = buffer.used.map(|step| steps.get(step));
        let name = |layer: usize| Cell::text(&graph.layers[layer].name);
        table.row([
            number(i),
            from.map_or(Cell::Empty, |step| name(step.start)),
            to.map_or(Cell::text("the caller"), |step| name(step.end - 1)),
            number(buffer.start * F32),
            number(buffer.len * F32),
            number(buffer.start),
            number(buffer.len),
        ]);
    }
    table
}

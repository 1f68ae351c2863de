//! Where the values of a network lie: one arena, in which buffers share memory unless they are needed at once.
//!
//! A split is a view of its input. What a concat puts together is written there by the layers that make it; only what lies
//! in another buffer already is copied. Where the last part is the front of a value, the whole value is written there, its
//! rest behind the concat: of a unit of ShuffleNetV2 only the channels that are older than the unit before are copied.

use crate::{
    graph::Graph,
    layer::{Layer, Op},
};
use std::ops::Range;

/// Buffers begin at multiples of this many values.
const ALIGN: usize = 64;

/// Where a value lies: channels of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Which buffer; `None` for the image.
    pub buffer: Option<usize>,
    /// The first channel.
    pub offset: usize,
    /// Channels of the buffer.
    pub stride: usize,
}

/// Memory that values share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Values in it.
    pub len: usize,
    /// The steps that write and read it, first and last.
    pub used: [usize; 2],
    /// Where it begins in the arena.
    pub start: usize,
}

/// The places of all values of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Of the image, and of each layer's output but those inside a step.
    pub views: Vec<Option<View>>,
    /// Buffers.
    pub buffers: Vec<Buffer>,
    /// Values in the arena.
    pub len: usize,
}

impl Places {
    /// For a network as [`crate::simplify`] leaves it, whose layers run in `steps`.
    pub fn new(graph: &Graph, steps: &[Range<usize>]) -> Places {
        let mut views = vec![None; graph.values()];
        let mut lens = Vec::new();
        views[0] = Some(View { buffer: None, offset: 0, stride: graph.input[2] });
        let layers = || steps.iter().map(|step| (step.end, &graph.layers[step.end - 1]));
        let mut ends = vec![false; graph.values()];
        layers().for_each(|(value, layer)| ends[value] = !layer.shape.is_view());
        // From the last to the first: a concat knows its place before what it puts together.
        for (value, layer) in layers().rev().filter(|(_, layer)| layer.shape.op != Op::Split) {
            let view = views[value].unwrap_or_else(|| {
                let overhang = overhang(graph, layer).filter(|&(whole, _)| ends[whole] && views[whole].is_none());
                let stride = layer.shape.cout + overhang.map_or(0, |(_, behind)| behind);
                lens.push(layer.shape.y_len() / layer.shape.cout * stride);
                let view = View { buffer: Some(lens.len() - 1), offset: 0, stride };
                if let Some((whole, _)) = overhang {
                    views[whole] = Some(View { offset: stride - graph.shape(whole)[2], ..view });
                }
                view
            });
            views[value] = Some(view);
            for (value, offset) in parts(graph, layer) {
                if value > 0 && graph.layers[value - 1].shape.op != Op::Split {
                    views[value].get_or_insert(View { offset: view.offset + offset, ..view });
                }
            }
        }
        for (value, layer) in layers().filter(|(_, layer)| layer.shape.op == Op::Split) {
            views[value] = views[layer.inputs[0]].map(|of| View { offset: of.offset + layer.shape.offset, ..of });
        }
        let mut buffers: Vec<_> = lens.iter().map(|&len| Buffer { len, used: [usize::MAX, 0], start: 0 }).collect();
        for (i, step) in steps.iter().enumerate() {
            let inputs = graph.layers[step.clone()].iter().flat_map(|layer| &layer.inputs);
            let values = inputs.copied().chain([step.end]);
            for buffer in values.filter_map(|value| views[value]?.buffer) {
                let [first, last] = &mut buffers[buffer].used;
                (*first, *last) = ((*first).min(i), (*last).max(i));
            }
        }
        // The last output is read by the caller.
        if let Some(buffer) = views[graph.layers.len()].and_then(|view: View| view.buffer) {
            buffers[buffer].used[1] = steps.len();
        }
        let len = pack(&mut buffers);
        Places { views, buffers, len }
    }

    /// The values that a concat must copy, with the view that they are copied to.
    pub fn copies(&self, graph: &Graph, layer: usize) -> Vec<(usize, View)> {
        let copy = |(value, offset)| {
            let whole = self.views[layer + 1]?;
            let view = View { offset: whole.offset + offset, ..whole };
            (self.views[value] != Some(view)).then_some((value, view))
        };
        parts(graph, &graph.layers[layer]).filter_map(copy).collect()
    }
}

/// The values that a concat puts together, each with its first channel; nothing for other layers.
fn parts<'a>(graph: &'a Graph, layer: &'a Layer) -> impl Iterator<Item = (usize, usize)> + 'a {
    let inputs = if layer.shape.op == Op::Concat { &layer.inputs[..] } else { &[] };
    inputs.iter().scan(0, |offset, &value| {
        let first = *offset;
        *offset += graph.shape(value)[2];
        Some((value, first))
    })
}

/// The value of which the last part of a concat is the front, and how many channels it has behind that.
fn overhang(graph: &Graph, concat: &Layer) -> Option<(usize, usize)> {
    let (last, _) = parts(graph, concat).last().filter(|&(value, _)| value > 0)?;
    let Layer { shape, inputs, .. } = &graph.layers[last - 1];
    let front = shape.op == Op::Split && shape.offset == 0;
    front.then(|| (inputs[0], graph.shape(inputs[0])[2] - shape.cout))
}

/// Gives each buffer a start, the largest first, each as low as those allow that are used while it is. Returns the length.
fn pack(buffers: &mut [Buffer]) -> usize {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(buffers[i].len));
    let mut placed: Vec<usize> = Vec::new();
    for &i in &order {
        let Buffer { len, used, .. } = buffers[i];
        let mut taken: Vec<_> = placed
            .iter()
            .map(|&other| buffers[other])
            .filter(|other| other.used[0] <= used[1] && used[0] <= other.used[1])
            .map(|other| (other.start, other.start + other.len))
            .collect();
        taken.sort_unstable();
        let start =
            taken.into_iter().fold(
                0,
                |start: usize, (from, to)| {
                    if start + len <= from { start } else { start.max(to.next_multiple_of(ALIGN)) }
                },
            );
        buffers[i].start = start;
        placed.push(i);
    }
    buffers.iter().map(|buffer| buffer.start + buffer.len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fuse, networks, simplify::simplify};

    /// Runs networks in thought: every channel that a step reads is still what the step that made it wrote.
    #[test]
    fn nothing_is_overwritten_while_it_is_needed() {
        for name in networks::known() {
            let (graph, _) = simplify(&networks::graph(&name).unwrap(), Vec::new());
            for steps in [fuse::alone(&graph), fuse::steps(&graph)] {
                check(&graph, &steps);
            }
        }
    }

    fn check(graph: &Graph, steps: &[Range<usize>]) {
        let places = Places::new(graph, steps);
        let memory = |view: View| {
            let buffer = places.buffers[view.buffer.unwrap()];
            buffer.start..buffer.start + buffer.len
        };
        let apart = |(value, view): (usize, View), (other, at): (usize, View)| {
            let (one, two) = (memory(view), memory(at));
            let channels = |value: usize, view: View| view.offset..view.offset + graph.shape(value)[2];
            let (of_one, of_two) = (channels(value, view), channels(other, at));
            let side_by_side = view.buffer == at.buffer && (of_one.end <= of_two.start || of_two.end <= of_one.start);
            one.end <= two.start || two.end <= one.start || side_by_side
        };
        // Which values are there, and where.
        let mut written: Vec<(usize, View)> = Vec::new();
        for step in steps {
            let (name, layer) = (&graph.name, &graph.layers[step.end - 1]);
            let inputs = graph.layers[step.clone()].iter().flat_map(|layer| &layer.inputs);
            for &value in inputs.filter(|&&value| value > 0 && !step.clone().any(|i| i + 1 == value)) {
                let view = places.views[value].expect("it is not inside a step");
                assert!(written.contains(&(value, view)), "{name} {}: {value}", layer.name);
            }
            let output = (step.end, places.views[step.end].expect("the end of a step"));
            // Parts of a concat that are made in place stay, and are the whole.
            let writes = if layer.shape.is_view() { places.copies(graph, step.start) } else { vec![output] };
            for write in writes {
                assert!(memory(write.1).len() >= graph.shape(write.0).iter().product());
                written.retain(|&other| apart(write, other));
                written.push(write);
            }
            if layer.shape.is_view() {
                written.push(output);
            }
        }
        assert_eq!(written.last().map(|last| last.0), Some(graph.layers.len()), "{}", graph.name);
        let all: usize = graph.layers.iter().map(|layer| layer.shape.y_len()).sum();
        assert!(places.len < all / 2, "{}: {} of {all}", graph.name, places.len);
    }
}

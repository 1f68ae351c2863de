//! A network built for a level: operators, their weights side by side in the order in which they run, and all the memory
//! that a run needs.

use crate::{
    aligned::Aligned,
    fuse,
    graph::Graph,
    layer::Layer,
    model::Model,
    operator::Operator,
    place::{Places, View},
    quantized::QuantizedModel,
};
use anyhow::{Context, Result, ensure};
use kolibri::{Element, Error, Image, ImageMut, Parallel, Workspace, copy, join_weights, kernels::Kernels};
use std::ops::Range;

/// A network ready to run.
pub struct Network<T: Element = f32> {
    graph: Graph,
    places: Places,
    steps: Vec<Step<T>>,
    /// Activations.
    arena: Aligned<T>,
    workspace: Workspace,
}

/// Layers, and what is done for them.
struct Step<T: Element> {
    layers: Range<usize>,
    /// The values that come from outside, in the order in which operators take them.
    inputs: Vec<usize>,
    work: Work<T>,
}

enum Work<T: Element> {
    Run(Box<Operator<T>>),
    /// What a concat must copy: values, and where they go.
    Copy(Vec<(usize, View)>),
}

impl Network<f32> {
    /// Packs the weights for a level and reserves the memory for up to `threads` threads.
    ///
    /// # Errors
    /// Whatever kolibri finds wrong with a layer.
    pub fn new(model: &Model, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Ok(Self::in_steps(model, fuse::steps(&model.graph), kernels, threads)?.without_views())
    }

    /// As [`Network::new`], each layer by itself, so that its output can be seen.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn layer_by_layer(model: &Model, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Self::in_steps(model, fuse::alone(&model.graph), kernels, threads)
    }

    fn in_steps(model: &Model, steps: Vec<Range<usize>>, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        let operator = |layers: Range<usize>| {
            Operator::new(kernels, &model.graph.layers[layers.clone()], &model.parameters[layers])
        };
        Self::build(&model.graph, steps, threads, operator)
    }
}

impl Network<u8> {
    /// As [`Network::new`], on bytes.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn quantized(model: &QuantizedModel, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Ok(Self::quantized_in_steps(model, fuse::steps(&model.graph), kernels, threads)?.without_views())
    }

    /// As [`Network::layer_by_layer`], on bytes.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn quantized_layer_by_layer(model: &QuantizedModel, kernels: &'static Kernels, threads: usize) -> Result<Self> {
        Self::quantized_in_steps(model, fuse::alone(&model.graph), kernels, threads)
    }

    fn quantized_in_steps(
        model: &QuantizedModel,
        steps: Vec<Range<usize>>,
        kernels: &'static Kernels,
        threads: usize,
    ) -> Result<Self> {
        let operator = |layers: Range<usize>| {
            let bytes: Vec<_> = layers.clone().map(|layer| model.bytes(layer)).collect();
            Operator::quantized(kernels, &model.graph.layers[layers.clone()], &model.parameters[layers], &bytes)
        };
        Self::build(&model.graph, steps, threads, operator)
    }
}

impl<T: Element + Default> Network<T> {
    fn build(
        graph: &Graph,
        steps: Vec<Range<usize>>,
        threads: usize,
        operator: impl Fn(Range<usize>) -> Result<Operator<T>, Error>,
    ) -> Result<Self> {
        let places = Places::new(graph, &steps);
        let mut workspace = Workspace::default();
        let step = |layers: Range<usize>| {
            let (first, last) = (&graph.layers[layers.start], &graph.layers[layers.end - 1]);
            let work = if first.shape.is_view() {
                Work::Copy(places.copies(graph, layers.start))
            } else {
                let operator = operator(layers.clone()).with_context(|| first.name.clone())?;
                workspace.grow(operator.workspace_len(threads)?)?;
                Work::Run(Box::new(operator))
            };
            // Of more than one layer the last may have a residual; the first reads the input.
            let other = last.inputs.get(1).filter(|_| layers.len() == 1 || last.residual().is_some());
            let inputs = first.inputs[..1].iter().chain(other).copied().collect();
            Ok(Step { layers, inputs, work })
        };
        let mut steps = steps.into_iter().map(step).collect::<Result<Vec<Step<T>>>>()?;
        join_weights(steps.iter_mut().filter_map(|step| match &mut step.work {
            Work::Run(operator) => operator.weights(),
            Work::Copy(_) => None,
        }));
        let arena = Aligned::new(places.len);
        Ok(Network { graph: graph.clone(), places, steps, arena, workspace })
    }

    /// The same without the steps that do nothing.
    fn without_views(mut self) -> Self {
        self.steps.retain(|step| !matches!(&step.work, Work::Copy(copies) if copies.is_empty()));
        self
    }

    /// Its layers.
    pub fn layers(&self) -> &[Layer] {
        &self.graph.layers
    }

    /// The layers of each step.
    pub fn steps(&self) -> impl Iterator<Item = Range<usize>> {
        self.steps.iter().map(|step| step.layers.clone())
    }

    /// The kernels that each step uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = Vec<&'static str>> {
        self.steps.iter().map(|step| match &step.work {
            Work::Run(operator) => operator.kernel_names(),
            Work::Copy(_) => Vec::new(),
        })
    }

    /// Values of an input.
    pub fn input_len(&self) -> usize {
        self.graph.input.iter().product()
    }

    /// Bytes of all activations at their places, beside the input, and of the workspace.
    pub fn memory(&self) -> [usize; 2] {
        [self.places.len * size_of::<T>(), self.workspace.len()]
    }

    /// The logits for an image, NHWC; bytes where the network is of bytes. Allocates nothing.
    ///
    /// # Errors
    /// An input of the wrong length, more threads than the network was built for.
    pub fn run(&mut self, input: &[T], parallel: &dyn Parallel) -> Result<&[T]> {
        self.run_each(input, parallel, |_, _| {})
    }

    /// As [`Network::run`]; calls `after(index, output)` after each step.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_each(
        &mut self,
        input: &[T],
        parallel: &dyn Parallel,
        mut after: impl FnMut(usize, Image<'_, T>),
    ) -> Result<&[T]> {
        ensure!(input.len() == self.input_len(), "input: {} values, expected {}", input.len(), self.input_len());
        let Network { graph, places, steps, arena, workspace } = self;
        let memory = Memory { graph, places, input: input.as_ptr(), arena: arena.as_mut_ptr() };
        for (i, Step { layers, inputs, work }) in steps.iter().enumerate() {
            let mut run = || match work {
                Work::Run(operator) => {
                    let other = inputs.get(1).map(|&value| memory.image(value)).transpose()?;
                    let (x, y) = (memory.image(inputs[0])?, memory.image_mut(layers.end)?);
                    operator.run(x, other, y, workspace, parallel)
                }
                Work::Copy(copies) => copies.iter().try_for_each(|&(value, view)| {
                    copy(memory.image(value)?, memory.at(memory.graph.shape(value), view)?, parallel)
                }),
            };
            run().with_context(|| graph.layers[layers.start].name.clone())?;
            after(i, memory.image(layers.end)?);
        }
        let logits = memory.image(graph.layers.len())?.as_slice();
        logits.context("the last layer has its output for itself")
    }
}

/// All elements of an image that may have others between its pixels.
pub fn values<T: Element>(image: Image<'_, T>) -> Vec<T> {
    let [n, h, w, c] = image.shape();
    let places = (0..n * h * w * c).map(|i| [i / (h * w * c), i / (w * c) % h, i / c % w, i % c]);
    places.filter_map(|[n, y, x, c]| image.get(n, y, x, c).copied()).collect()
}

/// Where values are while a network runs.
struct Memory<'a, T> {
    graph: &'a Graph,
    places: &'a Places,
    input: *const T,
    arena: *mut T,
}

impl<'a, T: Element> Memory<'a, T> {
    /// Of a value that is no step's own.
    fn view(&self, value: usize) -> View {
        self.places.views[value].unwrap_or(View { buffer: None, offset: 0, stride: 0 })
    }

    fn address(&self, view: View) -> *mut T {
        match view.buffer {
            None => self.input.cast_mut(),
            Some(buffer) => self.arena.wrapping_add(self.places.buffers[buffer].start + view.offset),
        }
    }

    fn image(&self, value: usize) -> Result<Image<'a, T>, Error> {
        let (view, [h, w, c]) = (self.view(value), self.graph.shape(value));
        // SAFETY: `Places` gave the value this memory until its last reader has run, and no layer writes what it reads.
        unsafe { Image::from_ptr(self.address(view), 1, h, w, c, view.stride) }
    }

    fn image_mut(&self, value: usize) -> Result<ImageMut<'a, T>, Error> {
        self.at(self.graph.shape(value), self.view(value))
    }

    fn at(&self, [h, w, c]: [usize; 3], view: View) -> Result<ImageMut<'a, T>, Error> {
        // SAFETY: as in `image`; only outputs and copies are written, which lie in the arena.
        unsafe { ImageMut::from_ptr(self.address(view), 1, h, w, c, view.stride) }
    }
}

//! Runs of convolutions, strip by strip or one after the other.

mod cost;
mod plan;

use super::{ConvPath, Scratch, check_chain, parts, run_parts};
use crate::{
    Conv2d, Element, Error, Image, ImageMut, Parallel, Workspace, detect,
    error::product,
    packed::{Packed, Visit},
};
use alloc::vec::Vec;
use plan::{MOST, Plan, Run};

/// Two to eight convolutions, each on the output of the one before it: a depthwise and a pointwise one, the expansion,
/// filter and projection of an inverted residual, or any others.
///
/// ```text
/// y = convs[last](.. convs[1](convs[0](x)) .., residual)
/// ```
/// The same bits as [`Conv2d::run`] gives one convolution after the other, in f32 and in bytes. Where it is faster, the
/// output is computed in strips of rows: of what lies between, as many rows as the next convolution's window sees are in
/// a ring that stays in cache, and no row is computed twice, but for those that the parts of two threads share. See
/// [`Chain::strip_rows`].
///
/// ```
/// use kolibri::{Activation, Chain, Conv2d, ConvGeometry, Image, ImageMut, Padding, Serial, Weights, Workspace};
///
/// # fn main() -> Result<(), kolibri::Error> {
/// // An inverted residual of MobileNet v2.
/// let expand = ConvGeometry::new(24, 144, [1, 1]);
/// let filter = ConvGeometry::new(144, 144, [3, 3]).padding(Padding::Same).groups(144);
/// let project = ConvGeometry::new(144, 24, [1, 1]);
/// let weights = vec![0.01; 144 * 24];
/// let conv = |geometry: ConvGeometry, activation| {
///     let weights = &weights[..geometry.cout * geometry.cin / geometry.groups * geometry.window.kernel[0].pow(2)];
///     Conv2d::f32(&geometry, Weights::oihw(weights), None, activation)
/// };
/// let (relu6, none) = (Activation::Relu6, Activation::None);
/// let chain = Chain::new(vec![conv(expand, relu6)?, conv(filter, relu6)?, conv(project, none)?])?;
///
/// let (x, mut y) = (vec![1.0; 56 * 56 * 24], vec![0.0; 56 * 56 * 24]);
/// let mut workspace = Workspace::new(chain.workspace_len([1, 56, 56], 1)?)?;
/// let x = Image::nhwc(&x, 1, 56, 56, 24)?;
/// chain.run(x, Some(x), ImageMut::nhwc(&mut y, 1, 56, 56, 24)?, &mut workspace, &Serial)?;
/// # Ok(())
/// # }
/// ```
pub struct Chain<T: Element = f32> {
    convs: Vec<Conv2d<T>>,
    fusion: Fusion,
}

/// Whether a [`Chain`] runs in strips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fusion {
    /// Where that is faster, by a rule that was fitted to measurements.
    #[default]
    ByCost,
    /// One convolution after the other.
    Never,
    /// In strips as high as the rule would have them.
    Always,
    /// In strips of as many rows of the output, or fewer.
    Strips(usize),
}

impl<T: Element> Visit for Chain<T> {
    fn visit(&mut self, f: &mut dyn FnMut(&mut Packed)) {
        self.convs.iter_mut().for_each(|conv| conv.visit(f));
    }
}

impl<T: Element> Chain<T> {
    /// The most convolutions of a chain.
    pub const MOST: usize = MOST;

    /// A chain that runs in strips where that is faster.
    ///
    /// The environment variable `KOLIBRI_FUSE`, which is read once, overrides that, for bug reports and benches: `never`
    /// or `always`. Without the feature `isa-env` it is not read.
    ///
    /// # Errors
    /// Fewer convolutions than two or more than eight; one that takes another number of channels than the one before it
    /// makes; another value of the variable.
    pub fn new(convs: Vec<Conv2d<T>>) -> Result<Self, Error> {
        let fusion = match detect::fuse_variable() {
            None | Some("") => Fusion::ByCost,
            Some("never") => Fusion::Never,
            Some("always") => Fusion::Always,
            Some(value) => return Err(Error::Fuse { value: value.into() }),
        };
        Self::with_fusion(convs, fusion)
    }

    /// A chain that runs as the caller says, whatever the environment.
    ///
    /// # Errors
    /// As [`Chain::new`], and strips of no row.
    pub fn with_fusion(mut convs: Vec<Conv2d<T>>, fusion: Fusion) -> Result<Self, Error> {
        if !(2..=MOST).contains(&convs.len()) {
            return Err(Error::ChainLength { most: MOST, got: convs.len() });
        }
        for (i, pair) in convs.windows(2).enumerate() {
            let (expected, got) = (pair[0].geometry().cout, pair[1].geometry().cin);
            if got != expected {
                return Err(Error::ChainChannels { index: i + 1, expected, got });
            }
        }
        if fusion == Fusion::Strips(0) {
            return Err(Error::Zero { argument: "strips" });
        }
        for i in 1..convs.len() {
            let (before, rest) = convs.split_at_mut(i);
            rest[0].path.follow(&mut before[i - 1].path);
        }
        Ok(Chain { convs, fusion })
    }

    /// Output channels.
    pub(crate) fn cout(&self) -> usize {
        self.convs[self.convs.len() - 1].geometry().cout
    }

    /// Height and width of the output.
    ///
    /// # Errors
    /// An image that, padded, is smaller than a window.
    pub fn output_size(&self, h: usize, w: usize) -> Result<[usize; 2], Error> {
        self.convs.iter().try_fold([h, w], |[h, w], conv| conv.output_size(h, w))
    }

    /// The kernels that `run` uses on images of usual size, convolution by convolution.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        self.convs.iter().flat_map(|conv| conv.kernel_names()).collect()
    }

    /// Rows of the output that are computed at a time for a batch of `n` images of `h` by `w` pixels; `None` where the
    /// convolutions run one after the other.
    ///
    /// # Errors
    /// As [`Chain::output_size`], and a size that overflows.
    pub fn strip_rows(&self, [n, h, w]: [usize; 3]) -> Result<Option<usize>, Error> {
        let placed = plan::place(&self.convs, [n, h, w])?;
        let placed = &placed[..self.convs.len()];
        let all = placed[placed.len() - 1].oh;
        Ok(match self.fusion {
            Fusion::ByCost => cost::strip::<T>(&self.convs, placed),
            Fusion::Never => None,
            Fusion::Always => Some(cost::strip_rows::<T>(&self.convs, placed)),
            Fusion::Strips(rows) => Some(rows.min(all)),
        })
    }

    /// Bytes of workspace that `run` needs for a batch of `n` images of `h` by `w` pixels with so many threads.
    ///
    /// # Errors
    /// As [`Chain::strip_rows`].
    pub fn workspace_len(&self, image: [usize; 3], threads: usize) -> Result<usize, Error> {
        let plan = Plan::new(&self.convs, image, self.strip_rows(image)?, threads)?;
        product("workspace", &[plan.bytes, plan.parts])
    }

    /// Computes `y` from `x`, with `residual` added before the activation of the last convolution. It may be `x`.
    ///
    /// # Errors
    /// Images whose shapes do not fit, an output that shares memory with an input, a workspace below
    /// [`Chain::workspace_len`], a residual of bytes whose quantisation was not given. Nothing is written then.
    pub fn run(
        &self,
        x: Image<'_, T>,
        residual: Option<Image<'_, T>>,
        y: ImageMut<'_, T>,
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        self.run_in(x, residual, y, workspace.memory(), parallel)
    }

    /// [`Chain::run`] in some of a workspace.
    pub(crate) fn run_in(
        &self,
        x: Image<'_, T>,
        residual: Option<Image<'_, T>>,
        y: ImageMut<'_, T>,
        memory: &mut [u64],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let [n, h, w, _] = x.shape();
        let strip = self.strip_rows([n, h, w])?;
        let plan = &Plan::new(&self.convs, [n, h, w], strip, parallel.threads())?;
        let (stages, last) = (plan.stages(), &self.convs[self.convs.len() - 1]);
        let placed = stages[stages.len() - 1].placed;
        let (cin, cout) = (self.convs[0].geometry().cin, self.cout());
        check_chain([n, h, w, cin], [n, placed.oh, placed.ow, cout], &x, residual.as_ref(), &y)?;
        if residual.is_some() {
            last.path.check_residual()?;
        }
        let scratch = &mut Scratch::of(memory, plan.bytes, plan.parts)?;
        let (x, residual, y) = (x.raw(), residual.map(|residual| residual.raw()), y.raw());
        let run = &Run { convs: &self.convs, plan, x, residual, y };
        match strip {
            None => run.one_by_one(scratch, parallel),
            // In one chunk: rows around its edge, which two compute, cost 4 % of all of MobileNetV2 where parts were halved.
            // Chunks that go on with the rows that the same thread left there cost nothing, and gained nothing.
            Some(_) => run_parts(parallel, y.n * y.h, y.n * y.h, scratch, |rows, memory| {
                // SAFETY: shapes and overlap were checked, and each task has its rows and its memory.
                unsafe { run.strips(rows, memory) }
            }),
        }
        Ok(())
    }
}

//! What is behind a handle: any operator, on elements of a type that is known at run time.

use super::{kolibri_status as Status, status::Fault};
use crate::{
    Activate, Add, Conv2d, Element, Error, FullyConnected, Image, ImageMut, Lookup, Parallel, Quantized,
    ops::{Chain, ChannelShuffle, Pool2d, SqueezeExcite},
};

/// An operator. Made by the `kolibri_.._create` functions, immutable, shared by any number of threads, freed by
/// `kolibri_destroy`.
pub struct kolibri_operator(pub(super) Operator);

/// By what images are made of.
pub(super) enum Operator {
    F32(Box<dyn Run<f32>>),
    #[cfg(feature = "int8")]
    I8(Box<dyn Run<i8>>),
    #[cfg(feature = "int8")]
    U8(Box<dyn Run<u8>>),
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<kolibri_operator>();
};

/// The second input of an operator.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Second {
    None,
    Optional,
    Required,
}

/// What all operators have.
pub(super) trait Run<T: Element>: Send + Sync {
    fn second(&self) -> Second {
        Second::None
    }

    fn output_shape(&self, x: [usize; 4]) -> Result<[usize; 4], Error> {
        Ok(x)
    }

    /// Bytes.
    fn workspace_len(&self, _x: [usize; 4], _threads: usize) -> Result<usize, Error> {
        Ok(0)
    }

    fn kernel_names(&self) -> Vec<&'static str>;

    /// `b` is there as [`Run::second`] says.
    fn run(&self, images: Images<'_, T>, memory: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error>;
}

/// The images of a run.
pub(super) struct Images<'a, T> {
    pub x: Image<'a, T>,
    pub b: Option<Image<'a, T>>,
    pub y: ImageMut<'a, T>,
}

pub(super) fn check_second(second: Second, given: bool) -> Result<(), Fault> {
    let message = match (second, given) {
        (Second::None, true) => "b: this operator has one input only, expected NULL",
        (Second::Required, false) => "b: this operator has two inputs, got NULL",
        _ => return Ok(()),
    };
    Err(Fault::new(Status::InvalidInput, message))
}

/// What may be given a residual.
macro_rules! convolving {
    ($operator:ident) => {
        impl<T: Element> Run<T> for $operator<T> {
            fn second(&self) -> Second {
                Second::Optional
            }

            fn output_shape(&self, [n, h, w, _]: [usize; 4]) -> Result<[usize; 4], Error> {
                let [oh, ow] = self.output_size(h, w)?;
                Ok([n, oh, ow, self.cout()])
            }

            fn workspace_len(&self, [n, h, w, _]: [usize; 4], threads: usize) -> Result<usize, Error> {
                self.workspace_len([n, h, w], threads)
            }

            fn kernel_names(&self) -> Vec<&'static str> {
                self.kernel_names()
            }

            fn run(&self, images: Images<'_, T>, memory: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error> {
                let Images { x, b, y } = images;
                self.run_in(x, b, y, memory, parallel)
            }
        }
    };
}
convolving!(Conv2d);
convolving!(Chain);

impl<T: Element> Run<T> for FullyConnected<T> {
    fn output_shape(&self, [n, ..]: [usize; 4]) -> Result<[usize; 4], Error> {
        Ok([n, 1, 1, self.conv().geometry().cout])
    }

    fn workspace_len(&self, [n, ..]: [usize; 4], threads: usize) -> Result<usize, Error> {
        self.workspace_len(n, threads)
    }

    fn kernel_names(&self) -> Vec<&'static str> {
        self.kernel_names()
    }

    fn run(
        &self,
        Images { x, y, .. }: Images<'_, T>,
        memory: &mut [u64],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        x.raw().expect("x", [x.shape()[0], 1, 1, self.conv().geometry().cin])?;
        self.conv().run_in(x, None, y, memory, parallel)
    }
}

impl<T: Element> Run<T> for SqueezeExcite<T> {
    fn workspace_len(&self, [n, h, w, _]: [usize; 4], threads: usize) -> Result<usize, Error> {
        self.workspace_len([n, h, w], threads)
    }

    fn kernel_names(&self) -> Vec<&'static str> {
        self.kernel_names()
    }

    fn run(
        &self,
        Images { x, y, .. }: Images<'_, T>,
        memory: &mut [u64],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        self.run_in(x, y, memory, parallel)
    }
}

impl<T: Element> Run<T> for ChannelShuffle {
    fn kernel_names(&self) -> Vec<&'static str> {
        self.kernel_names_of::<T>().collect()
    }

    fn run(&self, Images { x, y, .. }: Images<'_, T>, _: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error> {
        self.run(x, y, parallel)
    }
}

/// Operators without a workspace, which of f32 and of bytes have functions of the same names.
macro_rules! streaming {
    ($operator:ty, $T:ty, $(<$bound:ident>)?) => {
        impl$(<T: $bound>)? Run<$T> for $operator {
            fn kernel_names(&self) -> Vec<&'static str> {
                self.kernel_names().collect()
            }

            fn run(&self, images: Images<'_, $T>, _: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error> {
                self.run(images.x, images.y, parallel)
            }
        }
    };
}
streaming!(Activate, f32,);
streaming!(Lookup<T>, T, <Quantized>);

macro_rules! pool {
    ($T:ty, $(<$bound:ident>)?) => {
        impl$(<T: $bound>)? Run<$T> for Pool2d<$T> {
            fn output_shape(&self, [n, h, w, c]: [usize; 4]) -> Result<[usize; 4], Error> {
                let [oh, ow] = self.output_size(h, w)?;
                Ok([n, oh, ow, c])
            }

            fn kernel_names(&self) -> Vec<&'static str> {
                self.kernel_names().collect()
            }

            fn run(&self, images: Images<'_, $T>, _: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error> {
                self.run(images.x, images.y, parallel)
            }
        }
    };
}
pool!(f32,);
pool!(T, <Quantized>);

macro_rules! add {
    ($T:ty, $(<$bound:ident>)?) => {
        impl$(<T: $bound>)? Run<$T> for Add<$T> {
            fn second(&self) -> Second {
                Second::Required
            }

            fn kernel_names(&self) -> Vec<&'static str> {
                self.kernel_names().collect()
            }

            fn run(&self, images: Images<'_, $T>, _: &mut [u64], parallel: &dyn Parallel) -> Result<(), Error> {
                let Images { x, b, y } = images;
                b.map_or(Ok(()), |b| self.run(x, b, y, parallel))
            }
        }
    };
}
add!(f32,);
add!(T, <Quantized>);

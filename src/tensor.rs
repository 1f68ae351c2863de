//! Views of images, channels last.

use crate::{
    error::{Error, non_zero, product},
    kernels::{Interleave, Kernel, Kernels, Transpose},
};
use core::{fmt::Debug, marker::PhantomData, ops::Range};

/// What images are made of: `f32`, `i8`, `u8`.
pub trait Element: Copy + Send + Sync + 'static + sealed::Sealed {
    /// Packed weights of a convolution and the kernels for them.
    #[doc(hidden)]
    type Conv: crate::ops::ConvPath<Self> + Send + Sync;
    /// What an addition is made of.
    #[doc(hidden)]
    type Add: Copy + Debug + Send + Sync;
    /// What a pooling is made of.
    #[doc(hidden)]
    type Pool: Copy + Debug + Send + Sync;
    /// What a squeeze-excite is made of, but for its products.
    #[doc(hidden)]
    type Excite: crate::ops::ExcitePath<Self> + Send + Sync;
    /// The kernel that transposes such elements.
    #[doc(hidden)]
    fn transpose(kernels: &Kernels) -> Kernel<Transpose<Self::Bits>>;
    /// The kernels that interleave groups of such elements.
    #[doc(hidden)]
    fn interleave(kernels: &Kernels) -> &'static [Kernel<Interleave<Self::Bits>>];
    /// An element of the same size, for which there are kernels.
    #[doc(hidden)]
    type Bits;
}

impl Element for f32 {
    type Conv = crate::ops::ConvF32;
    type Add = crate::Activation;
    type Pool = crate::ops::PoolF32;
    type Excite = crate::ops::ExciteF32;
    type Bits = f32;
    fn transpose(kernels: &Kernels) -> Kernel<Transpose<f32>> {
        kernels.transpose_x32[0]
    }
    fn interleave(kernels: &Kernels) -> &'static [Kernel<Interleave<f32>>] {
        kernels.interleave_x32
    }
}
#[cfg(feature = "int8")]
impl Element for i8 {
    type Conv = crate::ops::ConvI8;
    type Add = crate::quant::Sum;
    type Pool = crate::ops::PoolI8;
    type Excite = crate::ops::ExciteI8<Self>;
    type Bits = u8;
    fn transpose(kernels: &Kernels) -> Kernel<Transpose<u8>> {
        kernels.transpose_x8[0]
    }
    fn interleave(kernels: &Kernels) -> &'static [Kernel<Interleave<u8>>] {
        kernels.interleave_x8
    }
}
#[cfg(feature = "int8")]
impl Element for u8 {
    type Conv = crate::ops::ConvI8;
    type Add = crate::quant::Sum;
    type Pool = crate::ops::PoolI8;
    type Excite = crate::ops::ExciteI8<Self>;
    type Bits = u8;
    fn transpose(kernels: &Kernels) -> Kernel<Transpose<u8>> {
        kernels.transpose_x8[0]
    }
    fn interleave(kernels: &Kernels) -> &'static [Kernel<Interleave<u8>>] {
        kernels.interleave_x8
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i8 {}
    impl Sealed for u8 {}
}

/// A borrowed image: batch, height, width, channels (NHWC), pixels `pixel_stride` elements apart.
///
/// Element `(n, y, x, c)` is `data[((n * height + y) * width + x) * pixel_stride + c]`. A view of some of the channels
/// keeps the stride, so that a split copies nothing; and two producers that write views of one buffer make a concat.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a, T = f32> {
    raw: Raw<T>,
    life: PhantomData<&'a [T]>,
}

/// A mutably borrowed image; see [`Image`].
#[derive(Debug)]
pub struct ImageMut<'a, T = f32> {
    raw: Raw<T>,
    life: PhantomData<&'a mut [T]>,
}

/// Where an image lies. The pointer of an [`Image`] is never written through.
///
/// A caller's image is plain: all its rows, one after the other, in one block. What lies between the convolutions of a
/// chain may be neither: a ring of `slots` rows, of which row `i` of the batch has slot `i % slots`; and `blocks` of
/// channels.
#[derive(Debug)]
pub(crate) struct Raw<T> {
    pub ptr: *mut T,
    pub n: usize,
    pub h: usize,
    pub w: usize,
    pub c: usize,
    pub pixel_stride: usize,
    pub slots: usize,
    pub blocks: Blocks<T>,
}

/// Channels in blocks, each of which lies as an image of its own would.
#[derive(Debug)]
pub(crate) struct Blocks<T> {
    pub count: usize,
    /// Channels of each but the last, which has the rest.
    pub channels: usize,
    /// Elements from a block to the next.
    pub stride: usize,
    /// Null, or a pixel of as many blocks that a reader makes what it takes for pixels outside the image.
    pub outside: *mut T,
}

impl<T> Blocks<T> {
    pub fn one(channels: usize) -> Self {
        Blocks { count: 1, channels, stride: 0, outside: core::ptr::null_mut() }
    }
}

impl<T> Clone for Blocks<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Blocks<T> {}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Raw<T> {}

// SAFETY: a view stands for the slice that it was made from, and `Raw` leaves this crate only inside a view.
unsafe impl<T: Sync> Send for Raw<T> {}
// SAFETY: as above; what is written through a shared `Raw` is split among tasks by the operators.
unsafe impl<T: Sync> Sync for Raw<T> {}

impl<T: crate::Quantized> Raw<T> {
    /// The same memory as u8.
    pub fn bytes(self) -> Raw<u8> {
        let Raw { ptr, n, h, w, c, pixel_stride, slots, blocks } = self;
        let Blocks { count, channels, stride, outside } = blocks;
        let blocks = Blocks { count, channels, stride, outside: outside.cast() };
        Raw { ptr: ptr.cast(), n, h, w, c, pixel_stride, slots, blocks }
    }
}

impl<T> Raw<T> {
    pub fn plain(ptr: *mut T, [n, h, w, c]: [usize; 4], pixel_stride: usize) -> Self {
        Raw { ptr, n, h, w, c, pixel_stride, slots: usize::MAX, blocks: Blocks::one(c) }
    }

    fn of([n, h, w, c]: [usize; 4], pixel_stride: usize, ptr: *mut T) -> Result<Self, Error> {
        non_zero(&[("batch", n), ("height", h), ("width", w), ("channels", c)])?;
        if pixel_stride < c {
            return Err(Error::PixelStride { pixel_stride, channels: c });
        }
        product("image", &[n, h, w, pixel_stride, size_of::<T>()])?;
        Ok(Raw::plain(ptr, [n, h, w, c], pixel_stride))
    }

    fn new(ptr: *mut T, len: usize, shape: [usize; 4], pixel_stride: usize) -> Result<Self, Error> {
        let raw = Raw::of(shape, pixel_stride, ptr)?;
        let all = raw.pixels() * pixel_stride;
        let expected = all - pixel_stride + raw.c; // after the last pixel nothing is needed
        if len < expected || len > all {
            return Err(Error::Length { argument: "data", expected, got: len });
        }
        Ok(raw)
    }

    fn channels(self, range: Range<usize>) -> Result<Self, Error> {
        let Range { start, end } = range;
        if start >= end || end > self.c {
            return Err(Error::Channels { start, end, channels: self.c });
        }
        Ok(self.part(range))
    }

    /// Some channels of an image in one block.
    pub fn part(&self, channels: Range<usize>) -> Self {
        let (ptr, c) = (self.ptr.wrapping_add(channels.start), channels.len());
        Raw { ptr, c, blocks: Blocks::one(c), ..*self }
    }

    pub fn shape(&self) -> [usize; 4] {
        [self.n, self.h, self.w, self.c]
    }

    pub fn pixels(&self) -> usize {
        self.n * self.h * self.w
    }

    /// The address of a pixel's first channel; dereferencing it is for who knows that the pixel exists. The pixels of a
    /// ring are those of its slots.
    #[inline(always)]
    pub fn pixel(&self, index: usize) -> *mut T {
        self.ptr.wrapping_add(index * self.pixel_stride)
    }

    /// The address of the first pixel of a row, counted over the batch.
    #[inline(always)]
    pub fn row(&self, index: usize) -> *mut T {
        self.pixel(index % self.slots * self.w)
    }

    /// Whether `values` elements may be read of each pixel of a row: what follows a pixel's channels may be another pixel,
    /// but not what is behind the image, nor what lies between the pixels of a view, as others may write that.
    pub fn holds(&self, row: usize, values: usize) -> bool {
        let pixels = (self.slots.min(self.n * self.h) - row % self.slots) * self.w;
        values <= self.c || self.pixel_stride == self.c && (self.w - 1) * self.c + values <= pixels * self.c
    }

    /// The image for who touches only rows from `first` on that lie one after the other: up to the end of the ring.
    pub fn at_row(&self, first: usize) -> Self {
        let ptr = self.row(first).wrapping_sub(first * self.w * self.pixel_stride);
        Raw { ptr, slots: usize::MAX, ..*self }
    }

    /// The image for who touches only rows from `first` on, the memory being theirs alone.
    pub fn starting_at(&self, first: usize) -> Self {
        let ptr = self.ptr.wrapping_sub(first * self.w * self.pixel_stride);
        Raw { ptr, slots: usize::MAX, ..*self }
    }

    /// The channels of a block.
    pub fn block_channels(&self, block: usize) -> Range<usize> {
        let start = block * self.blocks.channels;
        start..if block + 1 == self.blocks.count { self.c } else { start + self.blocks.channels }
    }

    /// What a pixel outside the image is for a reader that takes it to be `values`, one for each channel: those, or the
    /// pixel of blocks that is made of them when `fresh`.
    ///
    /// # Safety
    /// `values` has a value for each channel; nobody else touches the pixel.
    pub unsafe fn outside(&self, values: *const T, fresh: bool) -> *const T {
        let outside = self.blocks.outside;
        if outside.is_null() {
            return values;
        }
        for block in (0..self.blocks.count).filter(|_| fresh) {
            let channels = self.block_channels(block);
            let to = outside.wrapping_add(block * self.blocks.stride);
            // SAFETY: as promised by the caller; the block has a place for them.
            unsafe { to.copy_from_nonoverlapping(values.wrapping_add(channels.start), channels.len()) };
        }
        outside
    }

    /// The image for who touches only the channels of a block, which lie where they would in a plain image.
    pub fn in_block(&self, block: usize) -> Self {
        let first = self.ptr.wrapping_add(block * self.blocks.stride);
        Raw { ptr: first.wrapping_sub(block * self.blocks.channels), blocks: Blocks::one(self.c), ..*self }
    }

    pub fn expect(&self, argument: &'static str, expected: [usize; 4]) -> Result<(), Error> {
        if self.shape() == expected { Ok(()) } else { Err(Error::Shape { argument, expected, got: self.shape() }) }
    }

    /// `Err(Overlap)` where a channel of one image is a channel of the other. Interleaved views of one buffer with one
    /// stride, the halves of a split, do not overlap.
    pub fn expect_apart(&self, argument: &'static str, other: &Raw<T>) -> Result<(), Error> {
        let size = size_of::<T>();
        let span =
            |raw: &Raw<T>| (raw.ptr.addr(), raw.ptr.addr() + ((raw.pixels() - 1) * raw.pixel_stride + raw.c) * size);
        let ((a, a_end), (b, b_end)) = (span(self), span(other));
        if a_end <= b || b_end <= a {
            return Ok(());
        }
        let stride = self.pixel_stride * size;
        let apart = a.abs_diff(b) % stride;
        // The channels of the image that begins first, within a pixel, end before those of the other begin, and those
        // of the other before the next pixel.
        let (first, second) = if a <= b { (self.c, other.c) } else { (other.c, self.c) };
        let interleaved = self.pixel_stride == other.pixel_stride
            && a.abs_diff(b) % size == 0
            && first * size <= apart
            && apart + second * size <= stride;
        if interleaved { Ok(()) } else { Err(Error::Overlap { argument }) }
    }
}

impl<'a, T> Image<'a, T> {
    /// A view of `n * h * w * c` elements.
    ///
    /// # Errors
    /// A size of zero, one that overflows, or `data` of another length.
    pub fn nhwc(data: &'a [T], n: usize, h: usize, w: usize, c: usize) -> Result<Self, Error> {
        Self::strided(data, n, h, w, c, c)
    }

    /// A view whose pixels are `pixel_stride` elements apart. `data` may end with the last pixel's last channel.
    ///
    /// # Errors
    /// As [`Image::nhwc`], and a stride below the channels.
    pub fn strided(data: &'a [T], n: usize, h: usize, w: usize, c: usize, pixel_stride: usize) -> Result<Self, Error> {
        let raw = Raw::new(data.as_ptr().cast_mut(), data.len(), [n, h, w, c], pixel_stride)?;
        Ok(Image { raw, life: PhantomData })
    }

    /// A view of memory of which there are other views: those of one buffer that share no channel may be written while
    /// this is read.
    ///
    /// # Safety
    /// Every pixel's `c` elements are valid for reads as long as `'a`, and nobody writes them meanwhile.
    ///
    /// # Errors
    /// A size of zero, one that overflows, a stride below the channels.
    pub unsafe fn from_ptr(
        ptr: *const T,
        n: usize,
        h: usize,
        w: usize,
        c: usize,
        stride: usize,
    ) -> Result<Self, Error> {
        Ok(Image { raw: Raw::of([n, h, w, c], stride, ptr.cast_mut())?, life: PhantomData })
    }

    /// All elements, where there are none between pixels.
    pub fn as_slice(&self) -> Option<&'a [T]> {
        let len = self.raw.pixels() * self.raw.c;
        // SAFETY: pixels adjoin, and are readable as long as `'a`.
        (self.raw.pixel_stride == self.raw.c).then(|| unsafe { core::slice::from_raw_parts(self.raw.ptr, len) })
    }

    /// The same pixels with some of the channels.
    ///
    /// # Errors
    /// A range that is empty or outside the image's channels.
    pub fn channels(self, range: Range<usize>) -> Result<Self, Error> {
        Ok(Image { raw: self.raw.channels(range)?, life: PhantomData })
    }

    /// Batch, height, width, channels.
    pub fn shape(&self) -> [usize; 4] {
        self.raw.shape()
    }

    /// Elements from a pixel to the next.
    pub fn pixel_stride(&self) -> usize {
        self.raw.pixel_stride
    }

    /// The element at `(n, y, x, c)`; `None` outside the image.
    pub fn get(&self, n: usize, y: usize, x: usize, c: usize) -> Option<&'a T> {
        let raw = &self.raw;
        if n >= raw.n || y >= raw.h || x >= raw.w || c >= raw.c {
            return None;
        }
        // SAFETY: inside the slice that the view was made from, which lives as long as `'a`.
        Some(unsafe { &*raw.pixel((n * raw.h + y) * raw.w + x).add(c) })
    }

    pub(crate) fn raw(&self) -> Raw<T> {
        self.raw
    }
}

impl<'a, T> ImageMut<'a, T> {
    /// As [`Image::nhwc`].
    ///
    /// # Errors
    /// As [`Image::nhwc`].
    pub fn nhwc(data: &'a mut [T], n: usize, h: usize, w: usize, c: usize) -> Result<Self, Error> {
        Self::strided(data, n, h, w, c, c)
    }

    /// As [`Image::strided`].
    ///
    /// # Errors
    /// As [`Image::strided`].
    pub fn strided(
        data: &'a mut [T],
        n: usize,
        h: usize,
        w: usize,
        c: usize,
        pixel_stride: usize,
    ) -> Result<Self, Error> {
        let raw = Raw::new(data.as_mut_ptr(), data.len(), [n, h, w, c], pixel_stride)?;
        Ok(ImageMut { raw, life: PhantomData })
    }

    /// As [`Image::from_ptr`], to be written.
    ///
    /// # Safety
    /// Every pixel's `c` elements are valid for reads and writes as long as `'a`, and nobody else reads or writes them.
    ///
    /// # Errors
    /// As [`Image::from_ptr`].
    pub unsafe fn from_ptr(ptr: *mut T, n: usize, h: usize, w: usize, c: usize, stride: usize) -> Result<Self, Error> {
        Ok(ImageMut { raw: Raw::of([n, h, w, c], stride, ptr)?, life: PhantomData })
    }

    /// All elements, where there are none between pixels.
    pub fn as_mut_slice(&mut self) -> Option<&mut [T]> {
        let len = self.raw.pixels() * self.raw.c;
        // SAFETY: pixels adjoin, and are borrowed mutably.
        (self.raw.pixel_stride == self.raw.c).then(|| unsafe { core::slice::from_raw_parts_mut(self.raw.ptr, len) })
    }

    /// As [`Image::channels`].
    ///
    /// # Errors
    /// As [`Image::channels`].
    pub fn channels(self, range: Range<usize>) -> Result<Self, Error> {
        Ok(ImageMut { raw: self.raw.channels(range)?, life: PhantomData })
    }

    /// Batch, height, width, channels.
    pub fn shape(&self) -> [usize; 4] {
        self.raw.shape()
    }

    /// Elements from a pixel to the next.
    pub fn pixel_stride(&self) -> usize {
        self.raw.pixel_stride
    }

    /// A shorter borrow.
    pub fn reborrow(&mut self) -> ImageMut<'_, T> {
        ImageMut { raw: self.raw, life: PhantomData }
    }

    /// A shared view.
    pub fn as_image(&self) -> Image<'_, T> {
        Image { raw: self.raw, life: PhantomData }
    }

    /// The element at `(n, y, x, c)`; `None` outside the image.
    pub fn get_mut(&mut self, n: usize, y: usize, x: usize, c: usize) -> Option<&mut T> {
        self.as_image().get(n, y, x, c)?;
        // SAFETY: inside the slice that the view was made from, which is borrowed mutably.
        Some(unsafe { &mut *self.raw.pixel((n * self.raw.h + y) * self.raw.w + x).add(c) })
    }

    pub(crate) fn raw(&self) -> Raw<T> {
        self.raw
    }
}

//! What a call through the C ABI costs beside the call from Rust: the smallest depthwise layer, 7x7 pixels of 32 channels.

use kolibri::{
    Activation, Conv2d, ConvGeometry, Image, ImageMut, Padding, Serial, Weights, Workspace,
    capi::{
        kolibri_activation_params, kolibri_conv2d_create, kolibri_conv2d_desc, kolibri_destroy, kolibri_dtype,
        kolibri_image, kolibri_image_mut, kolibri_padding, kolibri_quant_params, kolibri_quantization, kolibri_run,
        kolibri_status, kolibri_window, kolibri_workspace_size,
    },
};
use std::{
    ptr::{null, null_mut},
    time::Instant,
};

const SIZE: usize = 7;
const CHANNELS: usize = 32;
/// Calls between two looks at the clock.
const CALLS: u32 = 1000;
const ROUNDS: usize = 200;

fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..CALLS).for_each(|_| call());
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let (weights, bias) = (vec![0.5f32; CHANNELS * 9], vec![0.25f32; CHANNELS]);
    let pixels = SIZE * SIZE;
    let x = vec![1.0f32; pixels * CHANNELS];
    let (mut y, mut y_c) = (x.clone(), x.clone());

    let geometry = ConvGeometry::new(CHANNELS, CHANNELS, [3, 3]).padding(Padding::Same).groups(CHANNELS);
    let conv = Conv2d::f32(&geometry, Weights::oihw(&weights), Some(&bias), Activation::Relu6).expect("valid");
    let mut workspace = Workspace::new(conv.workspace_len([1, SIZE, SIZE], 1).expect("an output")).expect("memory");

    let params = kolibri_quant_params { scale: 0.0, zero_point: 0 };
    let desc = kolibri_conv2d_desc {
        struct_size: size_of::<kolibri_conv2d_desc>(),
        dtype: kolibri_dtype::F32 as u32,
        level: null(),
        cin: CHANNELS,
        cout: CHANNELS,
        groups: CHANNELS,
        window: kolibri_window {
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            padding: kolibri_padding::Same as u32,
            pads: [0; 4],
        },
        weight_layout: 0,
        weights: weights.as_ptr().cast(),
        weights_len: weights.len(),
        bias: bias.as_ptr().cast(),
        bias_len: bias.len(),
        activation: kolibri_activation_params { kind: 2, min: 0.0, max: 0.0 },
        quantization: kolibri_quantization {
            x: params,
            y: params,
            weight_scales: null(),
            weight_scales_len: 0,
            residual: null(),
            requantization: 0,
        },
    };
    let mut op = null_mut();
    let shape = [1, SIZE, SIZE, CHANNELS];
    let mut size = 0;
    // SAFETY: all that the description leads to lives until here ends.
    unsafe {
        assert_eq!(kolibri_conv2d_create(&desc, &mut op), kolibri_status::Success);
        assert_eq!(kolibri_workspace_size(op, shape.as_ptr(), 1, &mut size), kolibri_status::Success);
    }
    let mut memory = vec![0u8; size];
    let (struct_size, dtype, len) = (size_of::<kolibri_image>(), desc.dtype, x.len());
    let (n, h, w, c, pixel_stride) = (1, SIZE, SIZE, CHANNELS, 0);
    let from = kolibri_image { struct_size, dtype, data: x.as_ptr().cast(), len, n, h, w, c, pixel_stride };
    let data = y_c.as_mut_ptr().cast();
    let to = kolibri_image_mut { struct_size, dtype, data, len, n, h, w, c, pixel_stride };

    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(nanoseconds(|| {
            let from = Image::nhwc(&x, 1, SIZE, SIZE, CHANNELS).expect("dense");
            let to = ImageMut::nhwc(&mut y, 1, SIZE, SIZE, CHANNELS).expect("dense");
            conv.run(from, None, to, &mut workspace, &Serial).expect("room");
        }));
        times[1].push(nanoseconds(|| {
            // SAFETY: images and workspace are as large as they say.
            let status = unsafe { kolibri_run(op, &from, null(), &to, memory.as_mut_ptr().cast(), size, null()) };
            assert_eq!(status, kolibri_status::Success);
        }));
    }
    // SAFETY: nobody uses it any more.
    unsafe { kolibri_destroy(op) };
    assert!(y == y_c, "the same bits");
    let over = times[1].iter().zip(&times[0]).map(|(c, rust)| c - rust).collect();
    let [rust, c] = times.map(median);
    println!("depthwise 3x3, {SIZE}x{SIZE}x{CHANNELS}, medians of {ROUNDS} rounds in turns");
    println!("from Rust {rust:8.1} ns\nfrom C    {c:8.1} ns\noverhead  {:8.1} ns", median(over));
}

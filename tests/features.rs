//! Of levels and kernels there are those whose features are on, and with any of them the crate computes what it should.
#![cfg(feature = "std")]

use kolibri::{
    Activation, Conv2d, ConvGeometry, FullyConnected, Image, ImageMut, Level, Padding, Serial, Weights, Workspace,
    emitted, kernels::Kernels, reference,
};

/// Whether the feature of a level is on, if it has one.
fn asked(level: Level) -> bool {
    match level {
        Level::Neon => true,
        Level::Portable => cfg!(feature = "portable"),
        Level::Avx2 => cfg!(feature = "avx2"),
        Level::AvxVnni => cfg!(feature = "avxvnni"),
        Level::Avx512 => cfg!(feature = "avx512"),
        Level::Avx512Vnni => cfg!(feature = "avx512vnni"),
        Level::Amx => cfg!(feature = "amx"),
        Level::NeonDotprod => cfg!(feature = "neon_dotprod"),
        Level::NeonI8mm => cfg!(feature = "neon_i8mm"),
        level => panic!("{} has no feature", level.name()),
    }
}

#[test]
fn levels_are_those_asked_for() {
    for &level in Level::ALL {
        let here = asked(level) && (level.arch() == "any" || level.arch() == std::env::consts::ARCH);
        // SAFETY: none of them is run.
        let kernels = unsafe { level.kernels_unchecked() };
        assert_eq!((kernels.is_some(), emitted(level).is_empty()), (here, !here), "{level:?}");
        assert!(here || level.kernels().is_none(), "{level:?}");
    }
    assert!(asked(Level::selected().expect("a level").level));
}

#[test]
fn kernels_are_those_asked_for() {
    for kernels in Level::available().filter_map(Level::kernels) {
        let families = [
            ("int8", !kernels.gemm_i8.is_empty(), cfg!(feature = "int8")),
            ("int8", kernels.dw_i8.iter().any(|dw| !dw.dwconv_i8.is_empty()), cfg!(feature = "int8")),
            ("pool", !kernels.pool_f32.is_empty(), cfg!(feature = "pool")),
            ("pool, int8", !kernels.pool_i8.is_empty(), cfg!(all(feature = "pool", feature = "int8"))),
            ("shuffle", !kernels.interleave_x32.is_empty(), cfg!(feature = "shuffle")),
            ("shuffle, int8", !kernels.transpose_x8.is_empty(), cfg!(all(feature = "shuffle", feature = "int8"))),
        ];
        for (family, has, asked) in families {
            assert_eq!(has, asked, "{:?}: {family}", kernels.level);
        }
        let of_bytes = kernels.list().any(|(name, _)| name.contains("_i8") || name.contains("_x8"));
        assert_eq!(of_bytes, cfg!(feature = "int8"), "{:?}", kernels.level);
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 37 % 101) as f32 / 64.0 - 0.75).collect()
}

fn convolve(kernels: &'static Kernels, geometry: ConvGeometry) {
    let (size, w) = (9, values(geometry.weights().expect("valid")));
    let (x, w) = (values(size * size * geometry.cin), Weights::oihw(&w));
    let x = Image::nhwc(&x, 1, size, size, geometry.cin).expect("dense");
    let conv = Conv2d::f32_on(kernels, &geometry, w, None, Activation::Relu6).expect("valid");
    let [oh, ow] = conv.output_size(size, size).expect("an output");
    let [mut y, mut expected] = [(); 2].map(|_| vec![0.0; oh * ow * geometry.cout]);
    let mut workspace = Workspace::new(conv.workspace_len([1, size, size], 1).expect("an output")).expect("memory");
    let to = ImageMut::nhwc(&mut y, 1, oh, ow, geometry.cout).expect("dense");
    conv.run(x, None, to, &mut workspace, &Serial).expect("valid");
    let to = ImageMut::nhwc(&mut expected, 1, oh, ow, geometry.cout).expect("dense");
    reference::conv2d(x, None, to, &geometry, w, None, Activation::Relu6).expect("valid");
    // Few bits a value: sums are exact, fused or not.
    assert!(y == expected, "{:?}: {geometry:?}", kernels.level);
}

#[test]
fn what_is_always_there_runs() {
    for kernels in Level::available().filter_map(Level::kernels) {
        let geometry = |cin, cout, k| ConvGeometry::new(cin, cout, [k, k]).padding(Padding::Same);
        convolve(kernels, geometry(3, 40, 3).stride([2, 2]));
        convolve(kernels, geometry(24, 70, 1));
        convolve(kernels, geometry(24, 24, 5).groups(24));
        convolve(kernels, geometry(24, 24, 3).groups(24).dilation([2, 2]));
        let (x, w) = (values(64), values(64 * 50));
        let layer = FullyConnected::f32_on(kernels, 64, 50, &w, None, Activation::None).expect("valid");
        let [mut y, mut expected] = [[0.0; 50]; 2];
        let mut workspace = Workspace::new(layer.workspace_len(1, 1).expect("fits")).expect("memory");
        layer.run(&x, 1, &mut y, &mut workspace, &Serial).expect("valid");
        reference::fully_connected(&x, 1, &mut expected, 64, 50, &w, None, Activation::None).expect("valid");
        assert!(y == expected, "{:?}: fully connected", kernels.level);
    }
}

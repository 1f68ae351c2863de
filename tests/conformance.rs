//! Every case in `tests/conformance/`, answers of ONNX Runtime and LiteRT: where the documentation names an engine, each
//! element is that engine's, by the reference and by the operator on every level.
#![cfg(feature = "operators")]

mod common;

use common::{emulated_levels, levels};
use kolibri::{
    Activation, Add, Concat, Conv2d, ConvGeometry, FullyConnected, Image, ImageMut, Lookup, Padding, Pool2d,
    QuantParams, Quantization, Quantized, Requantization, Serial, Weights, Window, Workspace, kernels::Kernels,
    reference,
};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Debug, fs, path::Path};

/// What an engine's operators are to us.
enum Promise {
    /// Ours is equal, sums becoming bytes in this mode.
    Equal(Requantization),
    /// It has a formula of its own that we do not offer.
    Other,
}

/// Every engine and operator in the files, the number of cases, and what is promised. `Other` is the only reason to leave
/// a case out.
fn promises(engine: &str) -> &'static [(&'static str, usize, Promise)] {
    use Promise::{Equal, Other};
    use Requantization::{FloatScale, TfliteDouble};
    match engine {
        "onnxruntime" => &[
            ("add", 48, Other),          // f32 with an order of its own, by instruction set
            ("average_pool", 32, Other), // f32
            ("concat", 24, Equal(FloatScale)),
            ("conv2d", 126, Equal(FloatScale)),
            ("fully_connected", 54, Equal(FloatScale)),
            ("global_average", 36, Equal(FloatScale)),
            ("max_pool", 20, Equal(FloatScale)),
        ],
        "litert_xnnpack" => &[
            ("add", 48, Equal(FloatScale)),
            ("concat", 24, Equal(FloatScale)), // of equal quantisations only
            ("conv2d", 126, Equal(FloatScale)),
            ("fully_connected", 54, Equal(FloatScale)),
            ("global_average", 36, Other), // the zero points are a float
            ("max_pool", 16, Equal(FloatScale)),
        ],
        "litert_builtin" => &[
            ("add", 48, Other), // fixed point, by position
            ("average_pool", 32, Equal(TfliteDouble)),
            ("concat", 24, Equal(TfliteDouble)), // of equal quantisations only
            ("conv2d", 126, Equal(TfliteDouble)),
            ("fully_connected", 54, Equal(TfliteDouble)),
            ("global_average", 36, Other), // fixed point, by position
            ("hard_swish", 24, Equal(TfliteDouble)),
            ("max_pool", 20, Equal(TfliteDouble)),
        ],
        _ => unreachable!("no such file"),
    }
}

#[derive(Debug, Deserialize)]
struct Case {
    op: String,
    dtype: String,
    x_shape: [usize; 4],
    b_shape: Option<[usize; 4]>,
    y_shape: [usize; 4],
    #[serde(default)]
    kernel: [usize; 2],
    #[serde(default)]
    stride: [usize; 2],
    #[serde(default)]
    dilation: [usize; 2],
    #[serde(default)]
    pads: [usize; 4],
    #[serde(default)]
    groups: usize,
    weights: Option<String>,
    x_scale: f64,
    x_zero: i32,
    #[serde(default)]
    b_scale: f64,
    #[serde(default)]
    b_zero: i32,
    y_scale: f64,
    y_zero: i32,
    #[serde(default)]
    w_scales: Vec<f64>,
    activation: String,
}

impl Case {
    fn x(&self) -> QuantParams {
        QuantParams::new(self.x_scale as f32, self.x_zero)
    }

    fn b(&self) -> QuantParams {
        QuantParams::new(self.b_scale as f32, self.b_zero)
    }

    fn y(&self) -> QuantParams {
        QuantParams::new(self.y_scale as f32, self.y_zero)
    }

    fn activation(&self) -> Activation {
        match &self.activation[..] {
            "none" => Activation::None,
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            other => panic!("{other}"),
        }
    }

    fn window(&self) -> Window {
        let [top, left, bottom, right] = self.pads;
        let padding = Padding::Explicit { top, left, bottom, right };
        Window { kernel: self.kernel, stride: self.stride, dilation: self.dilation, padding }
    }

    fn quantization<'a>(&self, weight_scales: &'a [f32], mode: Requantization) -> Quantization<'a> {
        Quantization { x: self.x(), weight_scales, y: self.y(), residual: None, mode }
    }
}

/// The tensors of a case.
struct Data<T> {
    x: Vec<T>,
    b: Vec<T>,
    w: Vec<i8>,
    bias: Option<Vec<i32>>,
    y: Vec<T>,
}

fn data<T: Quantized>(tensors: &SafeTensors<'_>, name: &str) -> Data<T> {
    let tensor = |what: &str| tensors.tensor(&format!("{name}/{what}")).ok();
    let dtype = if T::MIN < 0 { Dtype::I8 } else { Dtype::U8 };
    let bytes = |what: &str| {
        tensor(what).map_or(Vec::new(), |tensor| {
            assert_eq!(tensor.dtype(), dtype, "{name}/{what}");
            tensor
                .data()
                .iter()
                .map(|&bits| T::from_i32(if T::MIN < 0 { (bits as i8).into() } else { bits.into() }))
                .collect()
        })
    };
    let word = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().expect("four bytes"));
    Data {
        x: bytes("x"),
        b: bytes("b"),
        w: tensor("w").map_or(Vec::new(), |tensor| tensor.data().iter().map(|&bits| bits as i8).collect()),
        bias: tensor("bias").map(|tensor| tensor.data().chunks(4).map(word).collect()),
        y: bytes("y"),
    }
}

fn image<T>(data: &[T], [n, h, w, c]: [usize; 4]) -> Image<'_, T> {
    Image::nhwc(data, n, h, w, c).expect("dense")
}

fn image_mut<T>(data: &mut [T], [n, h, w, c]: [usize; 4]) -> ImageMut<'_, T> {
    ImageMut::nhwc(data, n, h, w, c).expect("dense")
}

/// The answer of the reference, or of the operator on a level.
fn answer<T: Quantized>(
    case: &Case,
    data: &Data<T>,
    mode: Requantization,
    kernels: Option<&'static Kernels>,
) -> Result<Vec<T>, kolibri::Error> {
    let mut out = vec![T::from_i32(T::MIN); data.y.len()];
    let x = image(&data.x, case.x_shape);
    let (bias, activation) = (data.bias.as_deref(), case.activation());
    let weight_scales: Vec<_> = case.w_scales.iter().map(|&scale| scale as f32).collect();
    let q = &case.quantization(&weight_scales, mode);
    match (&case.op[..], kernels) {
        ("conv2d", _) => {
            let geometry = ConvGeometry {
                cin: case.x_shape[3],
                cout: case.y_shape[3],
                groups: case.groups,
                window: case.window(),
            };
            let hwc = case.weights.as_deref() == Some("hwc");
            let weights = if hwc { Weights::hwc(&data.w) } else { Weights::ohwi(&data.w) };
            let y = image_mut(&mut out, case.y_shape);
            let Some(kernels) = kernels else {
                reference::conv2d_quantized(x, None, y, &geometry, weights, bias, q, activation)?;
                return Ok(out);
            };
            let conv = Conv2d::<T>::quantized_on(kernels, &geometry, weights, bias, q, activation)?;
            let [n, h, w, _] = case.x_shape;
            let mut workspace = Workspace::new(conv.workspace_len([n, h, w], 1)?)?;
            conv.run(x, None, y, &mut workspace, &Serial)?;
        }
        ("fully_connected", _) => {
            let ([batch, _, _, cin], cout) = (case.x_shape, case.y_shape[3]);
            let Some(kernels) = kernels else {
                let (x, w) = (&data.x, &data.w);
                reference::fully_connected_quantized(x, batch, &mut out, cin, cout, w, bias, q, activation)?;
                return Ok(out);
            };
            let layer = FullyConnected::<T>::quantized_on(kernels, cin, cout, &data.w, bias, q, activation)?;
            let mut workspace = Workspace::new(layer.workspace_len(batch, 1)?)?;
            layer.run(&data.x, batch, &mut out, &mut workspace, &Serial)?;
        }
        ("add", kernels) => {
            let (b, y) = (image(&data.b, case.b_shape.expect("two operands")), image_mut(&mut out, case.y_shape));
            match kernels {
                None => reference::add_quantized(x, b, y, [case.x(), case.b(), case.y()], activation)?,
                Some(kernels) => {
                    Add::<T>::quantized_on(kernels, case.x(), case.b(), case.y(), activation)?.run(x, b, y, &Serial)?
                }
            }
        }
        ("concat", kernels) => {
            let both = [x, image(&data.b, case.b_shape.expect("two operands"))];
            let (params, y) = ([case.x(), case.b()], image_mut(&mut out, case.y_shape));
            match kernels {
                None => reference::concat_quantized(&both, y, &params, case.y())?,
                Some(kernels) => Concat::<T>::new_on(kernels, &params, case.y())?.run(&both, y, &Serial)?,
            }
        }
        ("hard_swish", kernels) => {
            let y = image_mut(&mut out, case.y_shape);
            match kernels {
                None => reference::hard_swish_quantized(x, y, case.x(), case.y())?,
                Some(kernels) => Lookup::<T>::hard_swish_on(kernels, case.x(), case.y())?.run(x, y, &Serial)?,
            }
        }
        (op, kernels) => {
            let window = case.window();
            let y = image_mut(&mut out, case.y_shape);
            let Some(kernels) = kernels else {
                match op {
                    "max_pool" => reference::max_pool_quantized(x, y, &window)?,
                    "average_pool" => reference::avg_pool_quantized(x, y, &window, None)?,
                    "global_average" => reference::global_average_quantized(x, y, case.x(), case.y())?,
                    _ => panic!("{op}"),
                }
                return Ok(out);
            };
            let pool = match op {
                "max_pool" => Pool2d::<T>::quantized_max_on(kernels, window)?,
                "average_pool" => Pool2d::<T>::quantized_average_on(kernels, window)?,
                _ => Pool2d::<T>::global_average_quantized_on(kernels, case.x(), case.y())?,
            };
            pool.with_activation(case.y(), activation, mode)?.run(x, y, &Serial)?;
        }
    }
    Ok(out)
}

fn compare<T: Quantized + PartialEq + Debug>(what: &str, case: &Case, got: &[T], expected: &[T]) {
    let differ = got.iter().zip(expected).filter(|(got, expected)| got != expected).count();
    let first = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert!(
        first.is_none() && got.len() == expected.len(),
        "{what}: {differ} differ, the first at {first:?}: {case:?}"
    );
}

fn check<T: Quantized + PartialEq + Debug>(
    what: &str,
    case: &Case,
    data: &Data<T>,
    mode: Requantization,
    levels: &[&'static Kernels],
) {
    // The reference of a pool has no activation.
    if !case.op.ends_with("_pool") || case.activation() == Activation::None {
        let got = answer(case, data, mode, None).unwrap_or_else(|error| panic!("{what}: {error}"));
        compare(&format!("{what}, reference"), case, &got, &data.y);
    }
    for kernels in levels {
        let got = answer(case, data, mode, Some(kernels)).unwrap_or_else(|error| panic!("{what}: {error}"));
        compare(&format!("{what}, {:?}", kernels.level), case, &got, &data.y);
    }
}

fn every_case_is_equal(engine: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(format!("{engine}.safetensors"));
    let bytes = fs::read(file).expect("tests/conformance is complete");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
    let cases: BTreeMap<_, _> = metadata.metadata().as_ref().expect("cases").iter().collect();
    let (native, emulated) = (levels(), emulated_levels());
    let all: Vec<_> = native.iter().chain(&emulated).copied().collect();

    let mut counts = BTreeMap::<&str, usize>::new();
    for (i, (name, text)) in cases.iter().enumerate() {
        let case: Case = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let promise = promises(engine).iter().find(|(op, ..)| *op == case.op);
        let (op, _, promise) = promise.unwrap_or_else(|| panic!("{name}: no promise"));
        *counts.entry(op).or_default() += 1;
        let Promise::Equal(mode) = *promise else { continue };
        // Few on emulated levels, which are slow.
        let levels = if i % 16 == 0 { &all[..] } else { &native[..] };
        let what = format!("{engine}, {name}");
        match &case.dtype[..] {
            "i8" => check(&what, &case, &data::<i8>(&tensors, name), mode, levels),
            _ => check(&what, &case, &data::<u8>(&tensors, name), mode, levels),
        }
    }
    let expected: BTreeMap<_, _> = promises(engine).iter().map(|&(op, count, _)| (op, count)).collect();
    assert_eq!(counts, expected, "{engine}: cases by operator");
    for (op, count, promise) in promises(engine) {
        let what = if matches!(promise, Promise::Equal(_)) { "equal" } else { "not promised" };
        println!("{engine} {op}: {count} cases, {what}");
    }
}

#[test]
fn onnxruntime() {
    every_case_is_equal("onnxruntime");
}

#[test]
fn litert_xnnpack() {
    every_case_is_equal("litert_xnnpack");
}

#[test]
fn litert_builtin() {
    every_case_is_equal("litert_builtin");
}

//! The command `kolibri`: what it prints, and how it fails.

use kolibri::{Level, Serial};
use kolibri_zoo::{
    graph::Graph,
    model::{Preprocess, Published, read_json},
    network::Network,
    networks,
    quantized::{QuantizedModel, QuantizedNetwork},
    simplify::simplify,
};
use serde_json::Value;
use std::{
    path::PathBuf,
    process::{Command, Output},
};

fn kolibri(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary runs")
}

/// The binary, under the emulator that cargo was told to run tests under.
fn command(arguments: &[&str]) -> Command {
    let target = format!("{}_UNKNOWN_LINUX_GNU", std::env::consts::ARCH.to_uppercase());
    let runner = std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).unwrap_or_default();
    let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_kolibri")]);
    let mut command = Command::new(words.next().expect("the binary"));
    command.args(words).args(arguments).env_remove("KOLIBRI_ISA");
    command
}

fn json(arguments: &[&str]) -> Value {
    let output = kolibri(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Exit code 2 and one line on stderr that has all of `words`.
fn fails(output: &Output, words: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("kolibri: ") && words.iter().all(|word| stderr.contains(word)), "{stderr}");
}

fn temporary(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    directory
}

/// The likeliest class of each photo, in f32 and in bytes.
fn top1(report: &Value) -> Vec<(String, [i64; 2])> {
    let tables = report["tables"].as_array().expect("tables");
    let of = |table: &Value| {
        let path = PathBuf::from(table["title"].as_str().expect("a title"));
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, ["class", "int8_class"].map(|key| table["rows"][0][key].as_i64().expect("a class")))
    };
    tables.iter().map(of).collect()
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn photos_show_what_they_show() {
    let report = json(&["--json"]);
    assert_eq!(report["network"], "efficientnet_lite0");
    for key in ["ms_per_image", "int8_ms_per_image", "f32_per_int8", "gflops", "int8_gops"] {
        assert!(report[key].as_f64() > Some(0.0), "{key}");
    }
    let sizes = ["parameters_MB", "int8_parameters_MB"].map(|key| report[key].as_f64().expect("a size"));
    assert!(sizes[1] < 0.27 * sizes[0], "{sizes:?}");
    assert_eq!(report["threads"], 1);
    let seen = top1(&report);
    let sees = |photo: &str, class: i64| assert!(seen.contains(&(photo.into(), [class; 2])), "{photo}: {seen:?}");
    assert_eq!(seen.len(), 6);
    sees("chelsea", 282); // tiger cat
    sees("coffee", 967); // espresso
    sees("china", 698); // palace
    sees("flower", 985); // daisy
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn a_network_a_level_and_photos_can_be_chosen() {
    let photo = format!("{}/photos/coffee.png", env!("CARGO_MANIFEST_DIR"));
    let chosen = ["classify", "--network", "mobilenet_v2", "--level", "portable", "--threads", "2", "--photo"];
    let arguments = [&chosen[..], &[&photo, "--photo", &photo, "--json"]].concat();
    let report = json(&arguments);
    assert_eq!(top1(&report), [("coffee".to_string(), [967; 2]), ("coffee".to_string(), [967; 2])]);
    assert_eq!((&report["level"], &report["threads"]), (&"portable".into(), &2.into()));
    let text = String::from_utf8(kolibri(&arguments[..arguments.len() - 1]).stdout).expect("text");
    assert!(text.contains("espresso") && text.contains("percent of peak"), "{text}");
}

#[test]
fn mistakes_are_one_line_and_exit_code_2() {
    fails(&kolibri(&["classify", "--network", "resnet"]), &["resnet", "efficientnet_lite0", "mobilenet_v2"]);
    fails(&kolibri(&["bench", "resnet"]), &["resnet", "shufflenet_v1_1x_g3", "mobilenet_v2"]);
    fails(&kolibri(&["--level", "mmx"]), &["mmx", "portable", "neon"]);
    let foreign = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    fails(&kolibri(&["--level", foreign]), &["lacks", foreign, "portable"]);
    fails(&kolibri(&["kernels", "--emit", "gemm_f32_9x9_mmx"]), &["gemm_f32_9x9_mmx"]);
    fails(&kolibri(&["classify", "--photo", "missing.png"]), &["missing.png"]);
    for arguments in [&["--json"][..], &["kernels"], &["bench", "mobilenet_v2"], &["--level", "portable"]] {
        fails(&command(arguments).env("KOLIBRI_ISA", "avx9").output().expect("runs"), &["KOLIBRI_ISA", "avx9"]);
    }
}

#[test]
fn broken_files_are_named() {
    let directory = temporary("broken");
    let photo = directory.join("photo.png");
    std::fs::write(&photo, b"no image").expect("written");
    fails(&kolibri(&["--photo", photo.to_str().expect("UTF-8")]), &["photo.png"]);

    let models = directory.join("models");
    let network = models.join("efficientnet_lite0");
    std::fs::create_dir_all(&network).expect("created");
    let arguments = ["--models", models.to_str().expect("UTF-8")];
    let whole = format!("{}/models/efficientnet_lite0", env!("CARGO_MANIFEST_DIR"));

    std::fs::write(network.join("layers.json"), "{").expect("written");
    fails(&kolibri(&arguments), &["layers.json"]);
    std::fs::copy(format!("{whole}/layers.json"), network.join("layers.json")).expect("copied");
    let (weights, in_bytes) = ("efficientnet_lite0.f16.safetensors", "efficientnet_lite0.i8.safetensors");
    // Of another run of this test.
    for file in [weights, in_bytes] {
        let _ = std::fs::remove_file(network.join(file));
    }
    fails(&kolibri(&arguments), &[weights]);
    let bytes = std::fs::read(format!("{whole}/{weights}")).expect("read");
    std::fs::write(network.join(weights), &bytes[..bytes.len() / 2]).expect("written");
    fails(&kolibri(&arguments), &[weights]);
    std::fs::write(network.join(weights), &bytes).expect("written");
    fails(&kolibri(&arguments), &[in_bytes]);
    std::fs::write(network.join(in_bytes), b"no network").expect("written");
    fails(&kolibri(&arguments), &[in_bytes]);
    let other = format!("{}/models/mobilenet_v2/mobilenet_v2.i8.safetensors", env!("CARGO_MANIFEST_DIR"));
    fails(&kolibri(&["--int8", &other]), &["mobilenet_v2.i8", "efficientnet_lite0"]);
    std::fs::copy(format!("{whole}/{in_bytes}"), network.join(in_bytes)).expect("copied");
    fails(&kolibri(&arguments), &["imagenet_labels.txt"]);
    fails(&kolibri(&["--models", "/nowhere"]), &["/nowhere"]);
}

#[test]
fn kernels_are_listed_and_can_be_read() {
    let report = json(&["kernels", "--json"]);
    let levels = report["tables"].as_array().expect("levels");
    let in_use = report["level_in_use"].as_str().expect("a level");
    let used: Vec<_> =
        levels.iter().flat_map(|l| l["rows"].as_array().expect("rows")).filter(|r| r["in_use"] == "*").collect();
    let own = |kernel: &&Value| kernel["kernel"].as_str().is_some_and(|name| name.ends_with(in_use));
    assert!(used.iter().any(own), "{in_use}");
    for kernel in &used {
        let name = kernel["kernel"].as_str().expect("a name");
        let text = String::from_utf8(kolibri(&["kernels", "--emit", name]).stdout).expect("text");
        assert!(text.contains(&format!("fn {name}(")) && text.ends_with("}\n"), "{text}");
    }
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn networks_can_be_quantised() {
    let file = temporary("quantised").join("mobilenet_v2.i8.safetensors");
    let file = file.to_str().expect("UTF-8");
    let photo = format!("{}/photos/coffee.png", env!("CARGO_MANIFEST_DIR"));
    let report =
        json(&["quantize", "mobilenet_v2", "--out", file, "--ranges", "percentile", "--photo", &photo, "--json"]);
    assert_eq!(
        (&report["ranges"], &report["photos"], &report["top-1_equal"]),
        (&"percentile".into(), &1.into(), &1.into())
    );
    assert_eq!(report["int8_bytes"].as_u64(), std::fs::metadata(file).ok().map(|metadata| metadata.len()));
    assert!(report["percent_of_f32"].as_f64() < Some(27.0) && report["least_cosine"].as_f64() > Some(0.98), "{report}");
    let layers = report["tables"][0]["rows"].as_array().expect("layers");
    assert_eq!(layers.len(), 54);
    assert!(layers.iter().all(|layer| layer["snr_dB"].as_f64() > Some(3.0)), "{report}");

    let chosen = ["--network", "mobilenet_v2", "--photo", &photo, "--json", "--int8"];
    assert_eq!(top1(&json(&[&chosen[..], &[file]].concat())), [("coffee".to_string(), [967; 2])]);

    let out = kolibri(&["quantize", "mobilenet_v2", "--out", "/nowhere/file", "--photo", &photo]);
    fails(&out, &["/nowhere/file"]);
    fails(&kolibri(&["quantize", "resnet", "--out", file]), &["resnet", "mobilenet_v2"]);
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn networks_can_be_measured() {
    let whole = json(&["bench", "mobilenet_v2", "--json"]);
    // The stem with the first block, 16 inverted residuals, the head, the average, the classifier.
    assert_eq!(whole[0]["tables"][0]["rows"].as_array().map(Vec::len), Some(20));
    assert!(whole[0]["ms_median"].as_f64() >= whole[0]["ms_minimum"].as_f64());
    let bytes = json(&["bench", "mobilenet_v2", "--int8", "--json"]);
    let rows = bytes[0]["tables"][0]["rows"].as_array().expect("layers");
    assert!(rows.len() == 20 && rows.iter().all(|row| row["f32_per_int8"].as_f64() > Some(0.0)));
    for key in ["ms_median", "f32_ms_median", "f32_per_int8_median", "f32_per_int8_minimum", "int8_peak_gops"] {
        assert!(bytes[0][key].as_f64() > Some(0.0), "{key}");
    }
    let bytes = json(&["bench", "shufflenet_v2_0.5x", "--int8", "--json"]);
    let rows = bytes[0]["tables"][0]["rows"].as_array().expect("layers");
    assert!(rows.iter().all(|row| row["us"].is_number() || row["note"].as_str() != Some("")));
    let lone = json(&["bench", "shufflenet_v2_0.5x", "mobilenet_v1_0.25", "--lone", "--json"]);
    let classes =
        |report: &Value| report["tables"].as_array().and_then(|tables| tables.last()?["rows"].as_array().cloned());
    let all = |report: &Value| classes(report).and_then(|rows| rows.last()?["layers"].as_i64()).expect("a sum");
    assert_eq!(all(&lone[2]), all(&lone[0]) + all(&lone[1]), "the classes of several networks are summed up");
    let layers = lone[0]["tables"][0]["rows"].as_array().expect("layers");
    let run = layers.iter().filter(|layer| layer["us"].is_number());
    assert_eq!(run.filter_map(|layer| layer["count"].as_i64()).sum::<i64>(), 59, "no shuffle is left");
    assert!(layers.iter().all(|layer| layer["us"].is_number() || layer["note"].as_str() != Some("")));
}

#[test]
fn costs_are_counted() {
    let report = json(&["cost", "mobilenet_v2", "--json"]);
    for (key, value) in [
        ("multiply-adds", 300_774_272),
        ("parameters", 3_487_816),
        ("weight_bytes", 4 * 3_487_816),
        ("int8_arena_bytes", 275_968),
        ("arena_bytes", 4 * 275_968),
        ("arena_bytes,_layer_by_layer", 4 * 1_505_280),
    ] {
        assert_eq!(report[key], value, "{key}");
    }
    let memory = |what: &str| {
        ["arena bytes", "workspace bytes"].map(|key| report[format!("{key}{what}").replace(' ', "_")].as_u64())
    };
    let [fused, alone] = [["", ", one thread"], [", layer by layer"; 2]].map(|of| {
        let bytes = [memory(of[0])[0], memory(of[1])[1]];
        bytes.into_iter().map(|bytes| bytes.expect("bytes")).sum::<u64>()
    });
    assert!(2 * fused < alone, "{fused} {alone}");
    let rows = |i: usize| report["tables"][i]["rows"].as_array().expect("rows");
    let sum = |i: usize, key: &str| rows(i).iter().map(|row| row[key].as_u64().expect("a number")).sum::<u64>();
    for key in ["multiply-adds", "parameters", "weight_bytes", "int8_weight_bytes"] {
        assert_eq!(report[key], sum(0, key), "{key}");
    }
    assert_eq!(report["bytes_of_all_activations"], sum(0, "bytes_out"));
    let end = |row: &Value| row["offset"].as_u64().zip(row["bytes"].as_u64()).map(|(offset, bytes)| offset + bytes);
    assert_eq!(report["arena_bytes"].as_u64(), rows(1).iter().filter_map(end).max());
    assert_eq!(rows(1).last().map(|row| &row["to_layer"]), Some(&"the caller".into()));
    fails(&kolibri(&["cost", "resnet"]), &["resnet", "mobilenet_v2"]);
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn latency_tables_grow_and_predict() {
    let directory = temporary("latency");
    let path = directory.join("table.json");
    let _ = std::fs::remove_file(&path); // of another run of this test
    let file = path.to_str().expect("UTF-8");
    let counts = |arguments: &[&str]| {
        let report = json(&[&["latency", "--json", "--out", file], arguments].concat());
        ["entries", "measured"].map(|key| report[key].as_u64().expect("a count"))
    };
    let [f32, measured] = counts(&["mobilenet_v1_0.25", "--dtype", "f32"]);
    assert!(f32 > 5 && measured == f32, "{f32} {measured}");
    fails(&kolibri(&["latency", "--predict", file, "mobilenet_v1_0.25"]), &["no entry", "int8", "conv0", "224x224x3"]);
    assert_eq!(counts(&["mobilenet_v1_0.25"]), [2 * f32, f32]);
    let text = std::fs::read_to_string(&path).expect("a table");
    assert_eq!(counts(&["mobilenet_v1_0.25"]), [2 * f32, 0], "a second run measures nothing");
    assert_eq!(counts(&["mobilenet_v1_0.25", "--threads", "2", "--dtype", "int8"]), [3 * f32, f32]);

    // As an interrupted run leaves it: what is there is kept, what is missing is measured.
    let lines: Vec<_> = text.lines().collect();
    std::fs::write(&path, format!("{}\n]", lines[..4].join("\n").trim_end_matches(','))).expect("written");
    assert_eq!(counts(&["mobilenet_v1_0.25"]), [2 * f32, 2 * f32 - 3]);
    assert_eq!(std::fs::read_to_string(&path).expect("a table").lines().collect::<Vec<_>>()[..4], lines[..4]);

    let report = json(&["latency", "--predict", file, "mobilenet_v1_0.25", "--json"]);
    let rows = report["tables"][0]["rows"].as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| &row["values"]).collect::<Vec<_>>(), ["f32", "int8"]);
    assert!(rows.iter().all(|row| row["ratio_of_minimums"].as_f64() > Some(0.0)), "{report}");
}

#[test]
fn latency_mistakes_leave_files_alone() {
    let path = temporary("latency").join("broken.json");
    let file = path.to_str().expect("UTF-8");
    for text in ["", "[", "{}", "[{\"layers\": []}]"] {
        std::fs::write(&path, text).expect("written");
        for mode in ["--out", "--predict"] {
            fails(&kolibri(&["latency", mode, file, "mobilenet_v1_0.25"]), &["broken.json", "no latency table"]);
        }
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), text);
    }
    fails(&kolibri(&["latency", "--out", "/nowhere/table.json", "mobilenet_v1_0.25"]), &["/nowhere/table.json"]);
    fails(&kolibri(&["latency", "--predict", "/nowhere/table.json", "mobilenet_v1_0.25"]), &["/nowhere/table.json"]);
    fails(&kolibri(&["latency", "--out", file, "resnet"]), &["resnet", "mobilenet_v2"]);
    fails(&kolibri(&["latency", "--out", file, "mobilenet_v1_0.25", "--level", "mmx"]), &["mmx", "portable"]);
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn the_staircase_is_plotted() {
    let path = temporary("staircase").join("staircase.svg");
    let file = path.to_str().expect("UTF-8");
    let report = json(&["staircase", "--rounds", "1", "--out", file, "--json"]);
    let rows = report["tables"][0]["rows"].as_array().expect("curves");
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert!(row["worst_ratio"].as_f64() > Some(0.0), "{row}");
        assert!(row["channels"].as_u64().is_some_and(|channels| (1..256).contains(&channels)), "{row}");
    }
    let svg = std::fs::read_to_string(&path).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.matches("<polyline").count() >= 4, "a line for each curve");
    assert!(["pointwise", "depthwise 3x3", "f32", "int8"].iter().all(|text| svg.contains(text)));
    fails(&kolibri(&["staircase", "--rounds", "1", "--out", "/nowhere/picture.svg"]), &["/nowhere/picture.svg"]);
    fails(&kolibri(&["staircase", "--level", "mmx"]), &["mmx", "portable"]);
}

#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "too slow under emulation")]
fn what_is_exported_is_the_network() {
    let (name, out) = ("fd_mobilenet_0.25", temporary("export"));
    let output = kolibri(&["export", name, "--out", &out.to_string_lossy()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: &str| std::fs::read(out.join(name).join(file)).expect(file);
    let values = |file: &str| -> Vec<f32> {
        read(file).chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect()
    };
    let graph: Graph = read_json(&out.join(name).join("graph.json")).expect("a graph");
    let kernels = Level::selected().expect("a level");

    let input = values("input.f32");
    assert_eq!(input.len(), graph.input.iter().product::<usize>());
    let calibration = values("calibration.f32");
    assert!(calibration.len() > input.len() && calibration.len().is_multiple_of(input.len()));
    let exported = Published::from_bytes(&read("f32.safetensors"), graph.clone(), Preprocess::default());
    let seeded = Published::seeded(networks::graph(name).expect("known"));
    let logits = [exported.expect("weights"), seeded].map(|published| {
        let mut network = Network::new(&published.into_model(), kernels, 1).expect("a network");
        network.run(&input, &Serial).expect("logits").to_vec()
    });
    assert_eq!(logits[0], logits[1]);

    let (graph, _) = simplify(&graph, Vec::new());
    let model = QuantizedModel::from_bytes(&read("i8.safetensors"), graph, Preprocess::default()).expect("bytes");
    let mut network = QuantizedNetwork::new(&model, kernels, 1).expect("a network");
    let quantized = network.run_f32(&input, &Serial).expect("logits");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = dot(quantized, &logits[0]) / (dot(quantized, quantized) * dot(&logits[0], &logits[0])).sqrt();
    assert!(cosine > 0.98, "{cosine}");
}

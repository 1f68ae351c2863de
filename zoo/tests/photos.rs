//! The way from a photo to a network's input.

use anyhow::Result;
use kolibri_zoo::{
    model::{Model, directory, read_json},
    photo,
};
use safetensors::SafeTensors;

/// The recorded inputs were cropped and resized by another program: pixels may be rounded another way, not more.
#[test]
fn photos_are_cropped_and_resized_as_the_networks_expect() -> Result<()> {
    for name in Model::known(&directory("models"))? {
        let preprocess = Model::load(&directory("models"), &name)?.preprocess;
        let files = directory("models").join(&name);
        let bytes = std::fs::read(files.join("reference.safetensors"))?;
        let recorded = SafeTensors::deserialize(&bytes)?;
        let recorded = recorded.tensor("input_u8")?.data().chunks(photo::SIDE * photo::SIDE * 3);
        let top5: serde_json::Value = read_json(&files.join("reference_top5.json"))?;
        for (entry, recorded) in top5["photos"].as_array().into_iter().flatten().zip(recorded) {
            let photo = entry["photo"].as_str().unwrap_or_default();
            let file = ["png", "jpg"].map(|end| directory("photos").join(format!("{photo}.{end}")));
            let file = file.iter().find(|file| file.exists()).expect("a photo");
            let pixels = photo::centre(&photo::open(file)?, &preprocess);
            let off: u64 = pixels.iter().zip(recorded).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
            let most = pixels.iter().zip(recorded).map(|(&a, &b)| a.abs_diff(b)).max();
            let mean = off as f64 / pixels.len() as f64;
            println!("{name} {photo}: off by {mean:.3}, at most {most:?}");
            assert!(mean < 0.5, "{name} {photo}: {mean}");
        }
    }
    Ok(())
}

#[test]
fn probabilities_sum_to_one() -> Result<()> {
    let logits: Vec<f32> = (0..1000).map(|i| (i % 37) as f32 * 3.0).collect();
    assert!((photo::softmax(&logits).iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(photo::top5(&logits)?.is_sorted_by(|a, b| a.probability >= b.probability));
    assert!(photo::top5(&[f32::NAN, 1.0]).is_err());
    Ok(())
}

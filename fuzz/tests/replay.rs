//! Every input that is kept does no harm, in any build and without a fuzzer; nor do some of random bytes.
#![cfg(unix)]

use kolibri_zoo::random::Random;
use std::{fs, path::Path};

/// Random inputs beside the corpus: that is chosen for what it reaches, not for where buffers lie and how large they are.
const RANDOM: usize = 10_000;
/// Bytes of each.
const LEN: usize = 160;

/// Runs a target on its corpus, of which there must be some, and on what once broke something.
fn replay(name: &str, target: fn(&[u8])) {
    let inputs = |kind: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(name);
        let mut inputs: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().collect();
        inputs.sort_by_key(|input| input.path());
        inputs
    };
    let corpus = inputs("corpus");
    assert!(!corpus.is_empty(), "no input of {name}");
    for input in corpus.into_iter().chain(inputs("regressions")) {
        let path = input.path();
        // Shown where the test fails.
        println!("{}", path.display());
        target(&fs::read(&path).expect("it is there"));
    }
    let mut random = Random::default();
    for i in 0..RANDOM {
        println!("random input {i}");
        target(&random.bytes(LEN).collect::<Vec<_>>());
    }
}

#[test]
fn operators() {
    replay("operators", kolibri_fuzz::operators);
}

#[test]
fn c_abi() {
    replay("c_abi", kolibri_fuzz::c_abi);
}

#[test]
fn files() {
    replay("files", kolibri_fuzz::files);
}

/// The first inputs of `files` are in its corpus. `BLESS=1` writes them.
#[test]
fn seeds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/files");
    for (name, input) in kolibri_fuzz::seeds() {
        let path = directory.join(&name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &input).expect("written");
        }
        // What is in it may differ by machine: not every one has the same libm.
        assert!(path.exists(), "{name} is missing: run this test with BLESS=1");
    }
}

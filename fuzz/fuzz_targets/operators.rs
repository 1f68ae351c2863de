//! See `kolibri_fuzz::operators`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kolibri_fuzz::operators(data));

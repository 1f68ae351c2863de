//! See `kolibri_fuzz::files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kolibri_fuzz::files(data));

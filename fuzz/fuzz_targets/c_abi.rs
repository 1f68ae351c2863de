//! See `kolibri_fuzz::c_abi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kolibri_fuzz::c_abi(data));

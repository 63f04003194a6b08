//! Coverage-guided: see `fuzz/README.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| deodar_fuzz::differential(bytes));

//! Any bytes as what a server prints.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| berth_fuzz::check("lines", data));

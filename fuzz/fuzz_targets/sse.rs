//! Any bytes as an event stream.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| berth_fuzz::check("sse", data));

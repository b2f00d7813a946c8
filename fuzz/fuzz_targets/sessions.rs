//! Any text as a session's id, and as the file of ended ones.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| berth_fuzz::check("sessions", data));

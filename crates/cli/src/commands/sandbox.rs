//! `berth __sandbox POLICY -- PROGRAM ARGUMENTS…`: what stands between a shim and the server that it starts.
//!
//! It is no command of clap's: it must come before anything that could start a thread.

/// The first argument that asks for it.
const WORD: &str = "__sandbox";

/// Becomes the sandbox and never returns, when that is what was asked.
pub(crate) fn run_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == WORD) {
        runtime::sandbox::run(arguments);
    }
}

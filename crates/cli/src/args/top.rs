//! The flags of `berth top`.

use clap::Args;

/// `berth top`.
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: ↑ ↓ to scroll, / to filter, n e s c m r f p to sort by name, environment, state, CPU, memory, calls, errors and p95, \
                        again to turn the order round, q to end."
)]
pub(crate) struct TopArgs {
    /// Print one picture and end; with `--json` for programs
    #[arg(long)]
    pub(crate) once: bool,
    /// Only what has these words in its name, environment or state
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,
}

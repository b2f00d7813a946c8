//! The flags of `berth events`.

use clap::Args;

/// `berth events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// How many of the last
    #[arg(long, short = 'n', value_name = "EVENTS", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

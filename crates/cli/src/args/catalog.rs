//! `berth catalog …`.

use clap::{Args, Subcommand, ValueEnum};

/// `berth catalog …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// List what can be deployed
    Search(SearchArgs),
    /// Show one entry with its settings
    Show {
        /// Name of the entry
        name: String,
    },
    /// Add what stands in a file, or a registry that is read again and again
    #[command(after_help = "Examples:
  berth catalog add server.json
  berth catalog add official
  berth catalog add https://registry.example.com --name ours")]
    Add {
        /// A `server.json`, a list of them or a page of a registry (`-` is standard input); or `official`, the address of a registry,
        /// or of such a document that ends in `.json`
        #[arg(value_name = "FILE|URL")]
        from: String,
        /// Name of the registry; default: made of its address
        #[arg(long)]
        name: Option<String>,
    },
    /// Read the registries again, now
    Sync {
        /// Name of one; default: all
        source: Option<String>,
    },
    /// List the registries that the catalog is read from
    Sources,
    /// Remove a registry and its entries; what was deployed from it goes on
    RemoveSource {
        /// Name of the registry; `file` is what was added from files
        name: String,
    },
}

/// `berth catalog search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words that must all occur in an entry
    pub(crate) words: Vec<String>,
    /// Only this category, such as `data`
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// Only those whose publisher is who their name says
    #[arg(long)]
    pub(crate) verified: bool,
    /// Only those that are known to need no network while they run
    #[arg(long)]
    pub(crate) offline: bool,
    /// Only those that can be deployed
    #[arg(long)]
    pub(crate) deployable: bool,
    /// In which order
    #[arg(long, value_enum)]
    pub(crate) sort: Option<SortChoice>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

/// An order of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortChoice {
    /// What fits the words best first
    Relevance,
    /// By name
    Name,
    /// What was published last first
    Newest,
}

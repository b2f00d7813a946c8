//! What can be typed about agents: `berth agent …`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use domain::secret::Secret;
use domain::toolbelts::AccessLevel;

use super::duration_seconds;

/// `berth agent …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Make an agent, with a toolbelt of its own; it may call nothing yet
    Create {
        /// Its name
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// List the agents
    #[command(visible_alias = "ls")]
    List,
    /// Show an agent, what is in its toolbelt, and what it may call
    Show {
        /// The agent
        name: String,
    },
    /// Give an agent another name or description; its toolbelt keeps its address
    Rename {
        /// The agent
        name: String,
        /// Its new name
        #[arg(required_unless_present = "description")]
        to: Option<String>,
        /// What it is for; an empty text takes what was said back
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Make, list and revoke tokens of an agent; they open MCP addresses alone
    #[command(subcommand)]
    Token(AgentTokenCommand),
    /// Let an agent have an environment's instances in its toolbelt, or call tools of its members
    #[command(after_help = "Examples:
  berth agent grant writer --environment local
  berth agent grant writer --tool notes/get_*
  berth agent grant writer --tool notes/delete_all --deny
  berth agent grant writer --server time --level full-access --expires 8h
  berth agent grant writer --server github --allow get_issue,list_issues")]
    Grant(GrantArgs),
    /// Take back what an agent was granted
    Revoke(RevokeArgs),
    /// Give an agent what it brings to members whose callers each bring their own
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Remove an agent with its toolbelt, tokens and credentials
    #[command(visible_alias = "rm")]
    Delete {
        /// The agent
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `berth agent token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentTokenCommand {
    /// Make a token; it is shown once
    Create {
        /// The agent
        agent: String,
        /// What the token is for
        #[arg(default_value = "default")]
        name: String,
        /// How long it is valid, such as `12h`, `30d`; default: for ever
        #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
        expires: Option<u64>,
    },
    /// List an agent's tokens
    #[command(visible_alias = "ls")]
    List {
        /// The agent
        agent: String,
    },
    /// Revoke a token; from then on it opens nothing
    Revoke {
        /// The agent
        agent: String,
        /// Its id, its prefix or its name, as `berth agent token list` shows them
        #[arg(value_name = "TOKEN")]
        which: String,
    },
}

/// `berth agent grant`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("granted").required(true).args(["environment", "tool", "server"]))]
pub(crate) struct GrantArgs {
    /// The agent
    pub(crate) agent: String,
    /// Its toolbelt may have instances of this environment
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) environment: Option<String>,
    /// It may call this tool of a member of its toolbelt; `*` stands for any characters
    #[arg(long, value_name = "INSTANCE/TOOL", value_parser = tool)]
    pub(crate) tool: Option<(String, String)>,
    /// It may not, whatever else it was granted
    #[arg(long, requires = "tool")]
    pub(crate) deny: bool,
    /// It may call this instance, as far as `--level` or `--allow` says
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) server: Option<String>,
    /// How much of it; default: `read-only`, and `custom` with `--allow`
    #[arg(long, value_enum, requires = "server")]
    pub(crate) level: Option<LevelChoice>,
    /// These tools of it; may be repeated; `*` stands for any characters
    #[arg(long, value_name = "TOOL", value_delimiter = ',', requires = "server")]
    pub(crate) allow: Vec<String>,
    /// For how long, such as `8h`; default: for ever
    #[arg(long, value_name = "DURATION", value_parser = duration_seconds, requires = "server")]
    pub(crate) expires: Option<u64>,
}

/// `berth agent revoke`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("granted").required(true).args(["environment", "tool", "server"]))]
pub(crate) struct RevokeArgs {
    /// The agent
    pub(crate) agent: String,
    /// This environment; members of its toolbelt that run there are inactive from then on
    #[arg(long, value_name = "ENVIRONMENT")]
    pub(crate) environment: Option<String>,
    /// What was said of this tool, as it was written
    #[arg(long, value_name = "INSTANCE/TOOL", value_parser = tool)]
    pub(crate) tool: Option<(String, String)>,
    /// This instance as a whole
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) server: Option<String>,
}

/// `berth agent credential …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Give values for the agent's own calls of a member; nobody is shown them
    #[command(after_help = "Examples:
  berth agent credential add writer notes API_KEY=@key.txt
  pass show notes | berth agent credential add writer notes API_KEY=@- --account ada@example.com")]
    Add {
        /// The agent
        agent: String,
        /// The member of its toolbelt
        instance: String,
        /// A value; `@FILE` reads it from a file, `@-` from standard input
        #[arg(value_name = "KEY=@FILE", required = true, value_parser = super::secret_setting)]
        values: Vec<(String, Secret)>,
        /// What kind it is
        #[arg(long = "type", value_name = "TYPE", default_value = "api_key")]
        credential_type: String,
        /// Whose account it opens there, to tell several apart
        #[arg(long, value_name = "TEXT")]
        account: Option<String>,
    },
    /// List what an agent brings; never the values
    #[command(visible_alias = "ls")]
    List {
        /// The agent
        agent: String,
    },
    /// Remove what an agent brings
    #[command(visible_alias = "rm")]
    Remove {
        /// The agent
        agent: String,
        /// Its id, as `berth agent credential list` shows it
        id: String,
    },
}

/// How much of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelChoice {
    /// Tools that say that they change nothing, prompts and resources
    #[value(alias = "read_only")]
    ReadOnly,
    /// Everything
    #[value(alias = "full_access")]
    FullAccess,
    /// The tools that `--allow` names
    Custom,
}

impl LevelChoice {
    /// The word of the API.
    pub(crate) fn level(self) -> AccessLevel {
        match self {
            Self::ReadOnly => AccessLevel::ReadOnly,
            Self::FullAccess => AccessLevel::FullAccess,
            Self::Custom => AccessLevel::Custom,
        }
    }
}

fn tool(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((instance, tool)) if !instance.is_empty() && !tool.is_empty() => {
            Ok((instance.to_owned(), tool.to_owned()))
        }
        _ => Err("write INSTANCE/TOOL, such as `notes/get_*`".to_owned()),
    }
}

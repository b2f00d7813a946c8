//! What can be typed about who may use what: `berth rule …`.

use clap::{Args, Subcommand, ValueEnum};
use domain::names::InstanceName;

use super::RoleChoice;

/// `berth rule …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// Make a rule; it holds for the next call
    #[command(after_help = "Examples:
  berth rule add deny github/delete_* --role member
  berth rule add deny '*' --destructive --role viewer
  berth rule add allow 'files/file:///shared/*' --resource --user ada
  berth rule add deny github --client CLIENT_ID")]
    Add(AddRuleArgs),
    /// List the rules
    #[command(visible_alias = "ls")]
    List,
    /// Remove a rule
    #[command(visible_alias = "rm")]
    Remove {
        /// Its id, as `berth rule list` shows it
        id: String,
    },
}

/// `berth rule add`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags on a command line, each on its own")]
pub(crate) struct AddRuleArgs {
    /// What it does: a deny wins, and as soon as something is allowed, only what is allowed is let through
    #[arg(value_enum)]
    pub(crate) effect: EffectChoice,
    /// The instance, or `*` for every one; behind `/` the names of its tools. In both `*` stands for any characters
    #[arg(value_name = "INSTANCE[/PATTERN]", value_parser = target)]
    pub(crate) target: Target,
    /// Prompts are meant, not tools
    #[arg(long)]
    pub(crate) prompt: bool,
    /// Resources are meant, by address, not tools
    #[arg(long, conflicts_with = "prompt")]
    pub(crate) resource: bool,
    /// Only tools that say that they change nothing
    #[arg(long, conflicts_with_all = ["prompt", "resource"])]
    pub(crate) read_only: bool,
    /// Only tools that may destroy: those that say nothing else
    #[arg(long, conflicts_with_all = ["prompt", "resource", "read_only"])]
    pub(crate) destructive: bool,
    /// Whom it is for; default: everyone, you too.
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
}

/// Whom a rule is for.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct SubjectArgs {
    /// Whoever has this role; default: everyone, you too
    #[arg(long, value_enum)]
    pub(crate) role: Option<RoleChoice>,
    /// A user, by name
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// An API token, by id, prefix or name
    #[arg(long, value_name = "TOKEN")]
    pub(crate) api_token: Option<String>,
    /// An OAuth client, by id
    #[arg(long, value_name = "ID")]
    pub(crate) client: Option<String>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EffectChoice {
    /// Let through
    Allow,
    /// Refuse
    Deny,
}

/// What a rule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Absent: every instance.
    pub(crate) instance: Option<InstanceName>,
    /// Absent: everything of it.
    pub(crate) pattern: Option<String>,
}

fn target(text: &str) -> Result<Target, String> {
    let (instance, pattern) = match text.split_once('/') {
        Some((instance, pattern)) => (instance, Some(pattern.to_owned())),
        None => (text, None),
    };
    if pattern.as_ref().is_some_and(String::is_empty) {
        return Err("behind `/` names are missing, such as `get_*`".to_owned());
    }
    let instance = match instance {
        "*" => None,
        name => Some(name.parse().map_err(|error: domain::names::NameError| error.to_string())?),
    };
    Ok(Target { instance, pattern })
}

//! What can be typed about toolbelts: `berth toolbelt …`.

use clap::{Args, Subcommand, ValueEnum};
use domain::toolbelts::{Kind, Mode, OnChange};

/// `berth toolbelt …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ToolbeltCommand {
    /// Make a toolbelt, with instances in it or without
    #[command(after_help = "Examples:
  berth toolbelt create work github notes time
  berth toolbelt create big github jira --mode search --on-change withhold")]
    Create {
        /// Its name, which is its address too
        name: String,
        /// Instances to add
        #[arg(value_name = "INSTANCE")]
        instances: Vec<String>,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// How it shows its tools; default: `list`
        #[arg(long, value_enum)]
        mode: Option<ModeChoice>,
        /// What it does with a tool whose definition changes after it was approved; default: `keep`
        #[arg(long, value_enum)]
        on_change: Option<OnChangeChoice>,
    },
    /// List the toolbelts
    #[command(visible_alias = "ls")]
    List,
    /// Show a toolbelt and its members, or with `--features` what these have
    Show {
        /// The toolbelt
        name: String,
        /// Show the tools, prompts and resources that were seen, by the toolbelt's names
        #[arg(long)]
        features: bool,
        /// Show those whose definition changed after it was approved, and the difference
        #[arg(long, conflicts_with = "features")]
        changed: bool,
    },
    /// Add instances
    Add {
        /// The toolbelt
        name: String,
        /// The instances
        #[arg(value_name = "INSTANCE", required = true)]
        instances: Vec<String>,
    },
    /// Take instances out; they stay as they are
    #[command(visible_alias = "rm")]
    Remove {
        /// The toolbelt
        name: String,
        /// The instances
        #[arg(value_name = "INSTANCE", required = true)]
        instances: Vec<String>,
    },
    /// Call a tool otherwise in this toolbelt
    #[command(after_help = "Example:
  berth toolbelt rename work notes_search find_note")]
    Rename {
        /// The toolbelt
        name: String,
        /// The tool, by the toolbelt's name of it
        tool: String,
        /// Its new name there
        to: String,
        /// A prompt is meant, not a tool
        #[arg(long)]
        prompt: bool,
    },
    /// Change a toolbelt's settings, or hide, show or describe what is in it
    #[command(after_help = "Examples:
  berth toolbelt set work --mode search --on-change withhold
  berth toolbelt set work --tool delete_repo --off
  berth toolbelt set work --tool find_note --description 'Finds notes by words.'
  berth toolbelt set work --member github --off")]
    Set(SetArgs),
    /// Approve definitions that changed: of one tool, or of all that a member has
    #[command(after_help = "Examples:
  berth toolbelt show work --changed
  berth toolbelt approve work find_note --hash HASH
  berth toolbelt approve work --member github")]
    Approve {
        /// The toolbelt
        name: String,
        /// The tool, by the toolbelt's name of it
        #[arg(required_unless_present_any = ["member", "prompt", "resource", "template"])]
        tool: Option<String>,
        /// What else than a tool is meant
        #[command(flatten)]
        thing: ThingArgs,
        /// The very definition, as `berth toolbelt show --changed` names it; default: the one that it has now
        #[arg(long, conflicts_with = "member")]
        hash: Option<String>,
        /// All that changed of this instance
        #[arg(long, value_name = "INSTANCE", conflicts_with_all = ["tool", "prompt", "resource", "template"])]
        member: Option<String>,
    },
    /// Remove a toolbelt; the instances in it stay as they are
    Delete {
        /// The toolbelt
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// `berth toolbelt set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The toolbelt
    pub(crate) name: String,
    /// How it shows its tools
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeChoice>,
    /// What it does with a tool whose definition changes after it was approved
    #[arg(long, value_enum)]
    pub(crate) on_change: Option<OnChangeChoice>,
    /// What it is for, or with `--tool` what that tool does; an empty text takes what was said back
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// A tool in it, by the toolbelt's name of it
    #[arg(long, value_name = "NAME", conflicts_with_all = ["prompt", "resource", "template"])]
    pub(crate) tool: Option<String>,
    /// What else is meant
    #[command(flatten)]
    pub(crate) thing: ThingArgs,
    /// An instance in it
    #[arg(long, value_name = "INSTANCE", conflicts_with_all = ["tool", "prompt", "resource", "template", "description"])]
    pub(crate) member: Option<String>,
    /// Show it
    #[arg(long)]
    pub(crate) on: bool,
    /// Hide it
    #[arg(long, conflicts_with = "on")]
    pub(crate) off: bool,
}

/// What is in a toolbelt and is no tool.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct ThingArgs {
    /// A prompt, by the toolbelt's name of it
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// A resource, by its address
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// A template of resources
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
}

impl ThingArgs {
    /// Which thing is meant, beside a tool.
    pub(crate) fn named(self, tool: Option<String>) -> Option<(Kind, String)> {
        let of = |kind| move |name| (kind, name);
        tool.map(of(Kind::Tool))
            .or(self.prompt.map(of(Kind::Prompt)))
            .or(self.resource.map(of(Kind::Resource)))
            .or(self.template.map(of(Kind::Template)))
    }
}

/// How a toolbelt shows its tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeChoice {
    /// All of them in the list
    List,
    /// Two tools in their place: one that searches them, one that calls one of them
    Search,
}

/// What a toolbelt does with tools whose definitions change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnChangeChoice {
    /// Go on with the approved definition
    Keep,
    /// Show the tool no more until somebody approves
    Withhold,
}

impl ModeChoice {
    /// The word of the API.
    pub(crate) fn mode(self) -> Mode {
        match self {
            Self::List => Mode::List,
            Self::Search => Mode::Search,
        }
    }
}

impl OnChangeChoice {
    /// The word of the API.
    pub(crate) fn on_change(self) -> OnChange {
        match self {
            Self::Keep => OnChange::Keep,
            Self::Withhold => OnChange::Withhold,
        }
    }
}

//! What every page of an instance has around it: its name, its state, what can be done with it, its tabs.

use api::instances::Instance;
use domain::spec::DesiredState;
use store::instances::InstanceRow;

use crate::app::{App, Outcome, instances, own_values};
use crate::web::member::Member;
use crate::web::words::Badge;

/// A tab of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Connect,
    OwnValues,
    Playground,
    Logs,
    Metrics,
    Configuration,
    Changes,
    Events,
    Danger,
}

impl Tab {
    const ALL: [Self; 10] = [
        Self::Overview,
        Self::Connect,
        Self::OwnValues,
        Self::Playground,
        Self::Logs,
        Self::Metrics,
        Self::Configuration,
        Self::Changes,
        Self::Events,
        Self::Danger,
    ];

    /// The word that people read.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Connect => "Connect",
            Self::OwnValues => "Your values",
            Self::Playground => "Playground",
            Self::Logs => "Logs",
            Self::Metrics => "Metrics",
            Self::Configuration => "Configuration",
            Self::Changes => "Changes",
            Self::Events => "Events",
            Self::Danger => "Danger",
        }
    }

    /// Its path after the instance's, with a slash in front; empty for the overview.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Connect => "/connect",
            Self::OwnValues => "/own-values",
            Self::Playground => "/playground",
            Self::Logs => "/logs",
            Self::Metrics => "/metrics",
            Self::Configuration => "/configuration",
            Self::Changes => "/changes",
            Self::Events => "/events",
            Self::Danger => "/danger",
        }
    }

    /// The tab of a path without its slash; the overview for what is none.
    pub(crate) fn of_path(path: &str) -> Self {
        Self::ALL.into_iter().find(|tab| tab.path().trim_start_matches('/') == path).unwrap_or(Self::Overview)
    }
}

/// What the template `instance.html` needs; a template that extends it has one in its field `frame`, beside its `shell`.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The instance's name.
    pub(crate) name: String,
    /// How it is.
    pub(crate) badge: Badge,
    /// Which tab this is.
    pub(crate) tab: Tab,
    /// Whether it is a container tool, which speaks no MCP.
    pub(crate) is_tool: bool,
    /// Whether it is to run.
    pub(crate) is_wanted: bool,
    /// Whether it is being removed.
    pub(crate) is_going: bool,
    /// Where its callers each bring something of their own: what of it the member has not given, and is not served without.
    pub(crate) owed: Option<Vec<String>>,
}

impl Frame {
    /// Finds an instance of the member's account.
    ///
    /// # Errors
    /// 404 with the nearest name.
    pub(crate) async fn find(
        app: &App,
        member: &Member,
        name: &str,
        tab: Tab,
    ) -> Outcome<(Self, InstanceRow, Instance)> {
        let row = instances::find(app, &member.caller, name).await?;
        let instance = instances::rendered(app, &row)?;
        let frame = Self {
            name: row.name.to_string(),
            badge: row.status.into(),
            tab,
            is_tool: instance.container.is_some(),
            is_wanted: row.desired == DesiredState::Running,
            is_going: row.deleting,
            owed: if row.spec.launch.each_caller.is_empty() {
                None
            } else {
                Some(own_values::owed(app, &member.caller, &row).await?)
            },
        };
        Ok((frame, row, instance))
    }

    /// The tabs that it has.
    pub(crate) fn tabs(&self) -> impl Iterator<Item = Tab> {
        Tab::ALL.into_iter().filter(|tab| match tab {
            Tab::Connect | Tab::Playground => !self.is_tool,
            Tab::OwnValues => self.owed.is_some() || self.tab == Tab::OwnValues,
            _ => true,
        })
    }

    /// What a tab has to say is missing: the one that asks for it does so by itself.
    pub(crate) fn to_say(&self) -> &[String] {
        let is_silent = self.is_going || self.tab == Tab::OwnValues;
        self.owed.as_deref().filter(|_| !is_silent).unwrap_or_default()
    }

    /// Whether a tab is this one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    pub(crate) fn is_here(&self, tab: &Tab) -> bool {
        self.tab == *tab
    }
}

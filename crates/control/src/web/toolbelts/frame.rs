//! What every page of a toolbelt has around it: its name, whose it is, its tabs.

use api::toolbelts::Toolbelt;
use api::users::Role;

use crate::app::{App, Outcome, agents, toolbelts};
use crate::web::member::Member;

/// A tab of a toolbelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Members,
    Changes,
    Connect,
    Settings,
}

impl Tab {
    pub(super) const ALL: [Self; 4] = [Self::Members, Self::Changes, Self::Connect, Self::Settings];

    /// The word that people read.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Members => "Members",
            Self::Changes => "Changes",
            Self::Connect => "Connect",
            Self::Settings => "Settings",
        }
    }

    /// Its path after the toolbelt's, with a slash in front; empty for the members.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Members => "",
            Self::Changes => "/changes",
            Self::Connect => "/connect",
            Self::Settings => "/settings",
        }
    }
}

/// What the template `toolbelt.html` needs; a template that extends it has one in its field `frame`, beside its `shell`.
#[derive(Debug)]
pub(super) struct Frame {
    /// The toolbelt's name.
    pub(super) name: String,
    /// The path of its first page.
    pub(super) path: String,
    /// The agent that it is for.
    pub(super) agent: Option<String>,
    /// Definitions that changed and wait for somebody.
    pub(super) changed: u64,
    /// Which tab this is.
    pub(super) tab: Tab,
    /// Whether the person may change it; what is not shown is refused all the same.
    pub(super) may_change: bool,
}

impl Frame {
    /// Finds a toolbelt of the member's account.
    ///
    /// # Errors
    /// 404 with the nearest name.
    pub(super) async fn find(app: &App, member: &Member, name: &str, tab: Tab) -> Outcome<(Self, Toolbelt)> {
        let belt = toolbelts::show(app, &member.caller, name).await?;
        let frame = Self {
            path: format!("/a/{}/toolbelts/{}", member.caller.account_name, belt.name),
            name: belt.name.to_string(),
            agent: belt.agent.as_ref().map(ToString::to_string),
            changed: belt.members.iter().map(|member| member.changed).sum(),
            tab,
            may_change: may_change(app, member, &belt).await?,
        };
        Ok((frame, belt))
    }

    /// The tabs that it has.
    pub(super) fn tabs() -> [Tab; 4] {
        Tab::ALL
    }

    /// Whether a tab is this one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    pub(super) fn is_here(&self, tab: &Tab) -> bool {
        self.tab == *tab
    }

    /// How many wait behind a tab.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    pub(super) fn waiting(&self, tab: &Tab) -> Option<u64> {
        (*tab == Tab::Changes && 0 < self.changed).then_some(self.changed)
    }
}

async fn may_change(app: &App, member: &Member, belt: &Toolbelt) -> Outcome<bool> {
    if member.caller.role < Role::Member {
        return Ok(false);
    }
    let Some(agent) = &belt.agent else { return Ok(true) };
    let agent = agents::find(app, &member.caller, agent.as_str()).await?;
    Ok(agents::require_own(app, &member.caller, &agent).is_ok())
}

//! What every page of an agent has around it: its name, who made it, its tabs.

use api::agents::Agent;
use store::agents::AgentRow;

use crate::app::{App, Outcome, agents};
use crate::web::member::Member;

/// A tab of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Access,
    Tokens,
    Settings,
}

impl Tab {
    /// The word that people read.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Access => "What it may call",
            Self::Tokens => "Tokens",
            Self::Settings => "Settings",
        }
    }

    /// Its path after the agent's, with a slash in front; empty for what it may call.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Access => "",
            Self::Tokens => "/tokens",
            Self::Settings => "/settings",
        }
    }
}

/// What the template `agent.html` needs; a template that extends it has one in its field `frame`, beside its `shell`.
#[derive(Debug)]
pub(super) struct Frame {
    /// The agent's name.
    pub(super) name: String,
    /// The path of its first page.
    pub(super) path: String,
    /// Who made it.
    pub(super) maker: Option<String>,
    /// Which tab this is.
    pub(super) tab: Tab,
    /// Whether the person may change it; what is not shown is refused all the same.
    pub(super) may_change: bool,
}

impl Frame {
    /// Finds an agent of the member's account.
    ///
    /// # Errors
    /// 404 with the nearest name.
    pub(super) async fn find(app: &App, member: &Member, name: &str, tab: Tab) -> Outcome<(Self, Agent)> {
        let row = agents::find(app, &member.caller, name).await?;
        let may_change = agents::require_own(app, &member.caller, &row).is_ok();
        let agent = agents::show(app, &member.caller, row.name.as_str()).await?;
        let frame = Self {
            path: format!("/a/{}/agents/{}", member.caller.account_name, agent.name),
            name: agent.name.to_string(),
            maker: agent.created_by_name.clone(),
            tab,
            may_change,
        };
        Ok((frame, agent))
    }

    /// The tabs that it has.
    pub(super) fn tabs() -> [Tab; 3] {
        [Tab::Access, Tab::Tokens, Tab::Settings]
    }

    /// Whether a tab is this one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    pub(super) fn is_here(&self, tab: &Tab) -> bool {
        self.tab == *tab
    }
}

/// The same for the page that asks before something is taken from an agent.
///
/// # Errors
/// 403 for who may not change it, 404.
pub(super) async fn find_own(app: &App, member: &Member, name: &str) -> Outcome<AgentRow> {
    let row = agents::find(app, &member.caller, name).await?;
    agents::require_own(app, &member.caller, &row)?;
    Ok(row)
}

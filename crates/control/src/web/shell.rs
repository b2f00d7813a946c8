//! The frame of every page in an account: where one is, whose it is, where else one can go.

use api::users::Role;

use crate::app::App;
use crate::web::member::Member;
use crate::web::you::role;

/// The parts of an account that the navigation leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Marketplace,
    Instances,
    Toolbelts,
    Agents,
    Environments,
    People,
    Tokens,
    Clients,
    Rules,
    Secrets,
    Audit,
    Check,
}

/// One line of the navigation.
#[derive(Debug)]
pub(crate) struct Place {
    /// The word that people read.
    pub(crate) title: &'static str,
    /// The path in the account, without a slash in front; empty for the overview.
    pub(crate) path: &'static str,
    /// Its picture in `icons.svg`.
    pub(crate) icon: &'static str,
    /// Whether one is there.
    pub(crate) here: bool,
}

/// What the template `shell.html` needs; a template that extends it has one in its field `shell`.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The account's name.
    pub(crate) account: String,
    /// The further accounts of the person.
    pub(crate) others: Vec<String>,
    /// The person.
    pub(crate) user_name: String,
    /// What they are here.
    pub(crate) role: &'static str,
    /// What the forms of this page carry.
    pub(crate) csrf: String,
    /// What one comes for.
    pub(crate) work: Vec<Place>,
    /// Who may do what.
    pub(crate) access: Vec<Place>,
    may: Role,
}

/// Each with its words, its path, its picture, and from which role on there is anything to see.
const PLACES: &[(Section, &str, &str, &str, Role)] = &[
    (Section::Overview, "Overview", "", "home", Role::Viewer),
    (Section::Marketplace, "Marketplace", "marketplace", "grid", Role::Viewer),
    (Section::Instances, "Instances", "instances", "stack", Role::Viewer),
    (Section::Toolbelts, "Toolbelts", "toolbelts", "belt", Role::Viewer),
    (Section::Agents, "Agents", "agents", "agent", Role::Viewer),
    (Section::Environments, "Environments", "environments", "host", Role::Viewer),
    (Section::People, "People", "people", "people", Role::Viewer),
    (Section::Tokens, "API tokens", "tokens", "key", Role::Viewer),
    (Section::Clients, "Clients", "clients", "plug", Role::Viewer),
    (Section::Rules, "Rules", "rules", "shield", Role::Admin),
    (Section::Secrets, "Secrets", "secrets", "lock", Role::Member),
    (Section::Audit, "Audit", "audit", "list", Role::Admin),
    (Section::Check, "Connection check", "check", "pulse", Role::Viewer),
];
/// So many of [`PLACES`] are what one comes for.
const WORK: usize = 6;

impl Shell {
    /// The frame of a member's page.
    pub(crate) fn new(app: &App, member: &Member, section: Section) -> Self {
        let account = member.caller.account_name.as_str();
        let all = app.directory.picture().accounts_of(member.visitor.user);
        let others =
            all.into_iter().map(|(_, name)| name.to_string()).filter(|name| name != account).collect();
        let may = member.caller.role;
        let mut places = PLACES
            .iter()
            .filter(|place| place.4 <= may)
            .map(|&(of, title, path, icon, _)| Place { title, path, icon, here: of == section });
        let work = places.by_ref().take(WORK).collect();
        Self {
            account: account.to_owned(),
            others,
            user_name: member.visitor.user_name.clone(),
            role: role(member.caller.role),
            csrf: member.visitor.csrf.clone(),
            work,
            access: places.collect(),
            may,
        }
    }

    /// Where the account's pages begin, such as `/a/default`.
    pub(crate) fn base(&self) -> String {
        format!("/a/{}", self.account)
    }

    /// Whether the person may deploy and change instances; buttons for it are shown to them alone. What is not shown is refused all the same.
    pub(crate) fn may_deploy(&self) -> bool {
        Role::Member <= self.may
    }

    /// Whether the person may change who else may do what, and machines.
    pub(crate) fn may_admin(&self) -> bool {
        Role::Admin <= self.may
    }
}

//! `/a/{account}/people`: who is in the account, what they may do, and who is invited.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::invitations::{CreateInvitationRequest, Invitation};
use api::members::{ChangeMemberRequest, Member as Person};
use api::users::Role;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, invitations, members};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, typed};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::you::role;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/people", get(show).post(invite))
        .page("/a/{account}/people/{name}/role", post(change))
        .page("/a/{account}/people/{name}/remove", get(ask).post(remove))
        .page("/a/{account}/invitations/{id}/revoke", post(revoke))
}

/// What can be given, the least first, and what it is for.
const ROLES: [(Role, &str); 4] = [
    (Role::Viewer, "sees everything and calls tools"),
    (Role::Member, "deploys and changes instances, too"),
    (Role::Admin, "manages people, machines, secrets and rules, too"),
    (Role::Owner, "may do everything, and makes others owners"),
];

#[derive(Template)]
#[template(path = "people.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    people: Vec<Person>,
    invitations: Vec<Invitation>,
    /// What the person may give.
    roles: Vec<(&'static str, &'static str)>,
    me: String,
    typed: Invite,
}

#[derive(Debug, Default, Deserialize)]
struct Invite {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    Ok(render(&app, &member, StatusCode::OK, None, Invite::default()).await?)
}

async fn render(
    app: &App,
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Invite,
) -> Outcome<Response> {
    let shell = Shell::new(app, member, Section::People);
    let invitations =
        if shell.may_admin() { invitations::list(app, &member.caller).await? } else { Vec::new() };
    let may_give = |given: Role| given <= member.caller.role;
    let page = Page {
        people: members::list(app, &member.caller).await?,
        invitations,
        roles: ROLES
            .into_iter()
            .filter(|(of, _)| may_give(*of))
            .map(|(of, words)| (role(of), words))
            .collect(),
        me: member.visitor.user_name.clone(),
        shell,
        notice,
        typed,
    };
    Ok(shell_page_with(&page, status))
}

/// The role of a word.
fn of_word(word: &str) -> Outcome<Role> {
    let found = ROLES.into_iter().map(|(of, _)| of).find(|of| role(*of) == word);
    found.ok_or_else(|| Problem::invalid("role", "a role is one of viewer, member, admin and owner"))
}

async fn invite(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Invite>,
) -> Result<Response, Turned> {
    let made = async {
        let name = typed(&form.name).map(|name| name.parse()).transpose();
        let request = CreateInvitationRequest {
            role: of_word(&form.role)?,
            name: name.map_err(|error| Problem::invalid("name", error))?,
            email: typed(&form.email),
            expires_in_seconds: None,
        };
        invitations::create(&app, &member.caller, &request).await
    };
    let (status, notice, typed) = match made.await {
        Ok(made) => {
            let words = "Send this link to whom you want in: whoever opens it first is in. It is good for seven days.";
            (StatusCode::OK, Notice::once(words, made.url), Invite::default())
        }
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            (status, notice, form)
        }
    };
    Ok(render(&app, &member, status, Some(notice), typed).await?)
}

#[derive(Debug, Deserialize)]
struct Change {
    role: String,
}

async fn change(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Change>,
) -> Result<Response, Turned> {
    let changed = async {
        let request = ChangeMemberRequest { role: of_word(&form.role)? };
        members::change(&app, &member.caller, &name, &request).await
    };
    match changed.await {
        Ok(_) => Ok(see(&format!("/a/{}/people", member.caller.account_name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), Invite::default()).await?)
        }
    }
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let all = members::list(&app, &member.caller).await?;
    if !all.iter().any(|person| person.name == name) {
        return Err(Problem::refused(
            ErrorCode::NotFound,
            format!("nobody called `{name}` is in this account"),
        )
        .into());
    }
    let is_self = name == member.visitor.user_name;
    let title = if is_self { format!("Leave {account}?") } else { format!("Remove {name} from {account}?") };
    let whose = if is_self { "Your" } else { "Their" };
    let words = [
        format!(
            "{whose} API tokens for this account, and what applications were allowed in {} name here, end at once.",
            whose.to_lowercase()
        ),
        "Instances that they deployed stay and go on.".to_owned(),
    ];
    let button = if is_self { "Leave" } else { "Remove" };
    Ok(confirm(Shell::new(&app, &member, Section::People), &title, &words, (button, "people")))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    match members::remove(&app, &member.caller, &name).await {
        Ok(()) if name == member.visitor.user_name => Ok(see("/")),
        Ok(()) => Ok(see(&format!("/a/{account}/people"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), Invite::default()).await?)
        }
    }
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path((account, id)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    invitations::revoke(&app, &member.caller, &id).await?;
    Ok(see(&format!("/a/{account}/people")))
}

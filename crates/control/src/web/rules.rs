//! `/a/{account}/rules`: who may call which tools, prompts and resources.

use std::sync::Arc;

use api::rules::{Rule, RuleRequest, Subject, SubjectName};
use api::users::Role;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::rules::{Effect, Hint, What};
use serde::Deserialize;

use crate::app::oauth::clients;
use crate::app::{App, Outcome, Problem, members, rules, tokens};
use crate::web::confirm::Nothing;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, typed};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::you::role;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/rules", get(show).post(add)).page("/a/{account}/rules/{id}/remove", post(remove))
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    rules: Vec<Line>,
    /// Whom a rule can be for: the form's value, and words.
    subjects: Vec<(String, String)>,
    instances: Vec<String>,
    typed: Form,
}

/// A rule as it is read.
struct Line {
    id: String,
    is_deny: bool,
    subject: String,
    what: String,
    by: Option<String>,
    at: domain::time::Timestamp,
}

#[derive(Debug, Default, Deserialize)]
struct Form {
    effect: String,
    subject: String,
    #[serde(default)]
    instance: String,
    what: String,
    #[serde(default)]
    pattern: String,
    #[serde(default)]
    hint: String,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    let form = Form { effect: "deny".to_owned(), what: "tool".to_owned(), ..Form::default() };
    Ok(render(&app, &member, StatusCode::OK, None, form).await?)
}

async fn render(
    app: &App,
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Form,
) -> Outcome<Response> {
    let shell = Shell::new(app, member, Section::Rules);
    let subjects = if shell.may_admin() { subjects(app, member).await? } else { Vec::new() };
    let page = Page {
        rules: rules::list(app, &member.caller).await?.into_iter().map(line).collect(),
        subjects,
        instances: app.directory.picture().servers_of(&member.caller.account_name),
        shell,
        notice,
        typed,
    };
    Ok(shell_page_with(&page, status))
}

async fn subjects(app: &App, member: &Member) -> Outcome<Vec<(String, String)>> {
    let mut all = vec![("everyone".to_owned(), "everyone, owners too".to_owned())];
    let roles = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];
    all.extend(roles.map(|of| (format!("role {}", role(of)), format!("every {}", role(of)))));
    for person in members::list(app, &member.caller).await? {
        all.push((format!("user {}", person.name), person.name));
    }
    for token in
        tokens::list(app, &member.caller).await?.into_iter().filter(|token| token.revoked_at.is_none())
    {
        all.push((format!("token {}", token.id), format!("token {} ({}…)", token.name, token.prefix)));
    }
    for client in clients::list(app, &member.caller).await? {
        all.push((format!("client {}", client.id), format!("client {}", client.name)));
    }
    Ok(all)
}

fn line(rule: Rule) -> Line {
    let named = |kind: &str, id: String| format!("{kind} {}", rule.subject_name.clone().unwrap_or(id));
    let subject = match &rule.subject {
        Subject::Everyone => "everyone".to_owned(),
        Subject::Role(of) => format!("every {}", role(*of)),
        Subject::User(id) => named("", id.to_string()).trim().to_owned(),
        Subject::Token(id) => named("token", id.to_string()),
        Subject::Client(id) => named("client", id.clone()),
    };
    let (one, many) = match rule.what {
        What::Tool => ("the tool", "every tool"),
        What::Prompt => ("the prompt", "every prompt"),
        What::Resource => ("the resource", "every resource"),
        What::Everything => ("everything called", "everything"),
    };
    let mut what = if rule.pattern == "*" { many.to_owned() } else { format!("{one} {}", rule.pattern) };
    match rule.hint {
        Some(Hint::ReadOnly) => what.push_str(" that says it changes nothing"),
        Some(Hint::Destructive) => what.push_str(" that may destroy"),
        None => {}
    }
    what.push_str(
        &rule.instance.as_ref().map_or_else(|| " of every instance".to_owned(), |of| format!(" of {of}")),
    );
    Line {
        id: rule.id.to_string(),
        is_deny: rule.effect == Effect::Deny,
        subject,
        what,
        by: rule.created_by_name,
        at: rule.created_at,
    }
}

/// What the form asks for.
fn request(form: &Form) -> Outcome<RuleRequest> {
    let unknown = |field: &'static str| Problem::invalid(field, "choose one of those that the form offers");
    let (kind, name) = form.subject.split_once(' ').unwrap_or((&form.subject, ""));
    let subject = match (kind, name) {
        ("everyone", "") => SubjectName::Everyone,
        ("role", name) => {
            let roles = [Role::Viewer, Role::Member, Role::Admin, Role::Owner];
            SubjectName::Role(
                roles.into_iter().find(|of| role(*of) == name).ok_or_else(|| unknown("subject"))?,
            )
        }
        ("user", name) => SubjectName::User(name.to_owned()),
        ("token", id) => SubjectName::Token(id.to_owned()),
        ("client", id) => SubjectName::Client(id.to_owned()),
        _ => return Err(unknown("subject")),
    };
    let instance = typed(&form.instance).map(|name| name.parse()).transpose();
    Ok(RuleRequest {
        effect: Effect::of_word(&form.effect).ok_or_else(|| unknown("effect"))?,
        subject,
        instance: instance.map_err(|error| Problem::invalid("instance", error))?,
        what: What::of_word(&form.what).ok_or_else(|| unknown("what"))?,
        pattern: typed(&form.pattern).unwrap_or_else(|| "*".to_owned()),
        hint: match &*form.hint {
            "" => None,
            word => Some(Hint::of_word(word).ok_or_else(|| unknown("hint"))?),
        },
    })
}

async fn add(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let added = async { rules::add(&app, &member.caller, &request(&form)?).await };
    match added.await {
        Ok(_) => Ok(see(&format!("/a/{}/rules", member.caller.account_name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), form).await?)
        }
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, id)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    rules::remove(&app, &member.caller, &id).await?;
    Ok(see(&format!("/a/{account}/rules")))
}

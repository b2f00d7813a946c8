//! `/a/{account}/environments/add`: a Linux host that is there becomes an environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::environments::{AddEnvironmentRequest, ChangeEnvironmentRequest, EnvironmentKind};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::placement::Labels;
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, enrolments, environments, fleet};
use crate::auth::Caller;
use crate::web::environments::enrol::{alone, line};
use crate::web::environments::require_admin;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, status_of};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page_with;
use crate::web::visitor::Turned;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/add", get(ask).post(add))
}

/// What is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    name: String,
    labels: String,
    /// `tunnel` or `dialled`.
    reached: String,
    address: String,
    tls_pin: String,
    /// Ticked: there.
    insecure_http: Option<String>,
}

#[derive(Template)]
#[template(path = "environment-add.html")]
struct Page {
    shell: Shell,
    form: Form,
    wrong: Option<Notice>,
    alone: Option<String>,
}

impl Page {
    fn answer(app: &App, member: &Member, form: Form, wrong: Option<Notice>) -> Response {
        let status = status_of(wrong.as_ref());
        let shell = Shell::new(app, member, Section::Environments);
        shell_page_with(&Self { shell, form, wrong, alone: alone(app) }, status)
    }

    fn is_dialled(&self) -> bool {
        self.form.reached == "dialled"
    }
}

async fn ask(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    require_admin(&member)?;
    Ok(Page::answer(&app, &member, Form::default(), None))
}

async fn add(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    match try_to_add(&app, &member.caller, &form).await {
        Ok(name) => {
            let enrolment = enrolments::create(&app, &member.caller, &name).await?;
            line(&app, &member, enrolment).await
        }
        Err(problem) => Ok(Page::answer(&app, &member, form, Some(Notice::wrong(problem)?))),
    }
}

/// Its name.
async fn try_to_add(app: &App, caller: &Caller, form: &Form) -> Outcome<String> {
    let labels = labels(&form.labels)?;
    let mut request = AddEnvironmentRequest::new(form.name.trim(), EnvironmentKind::Host);
    // Fields of the way that was not chosen are not shown, so they do not count.
    if form.reached == "dialled" {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let nowhere = || {
            Problem::invalid("address", "a host that is dialled needs an address").hint(format!(
                "write its IP address and its DTMA's port, such as 10.0.0.5:{}",
                api::dtma::DEFAULT_PORT
            ))
        };
        request.address = Some(given(&form.address).ok_or_else(nowhere)?);
        request.tls_pin = given(&form.tls_pin);
        request.insecure_http = form.insecure_http.is_some();
    }
    let added = environments::add(app, caller, &request).await?;
    label(app, caller, added.name.as_str(), &labels).await?;
    Ok(added.name.to_string())
}

/// Gives a new environment its labels.
pub(super) async fn label(app: &App, caller: &Caller, name: &str, labels: &Labels) -> Outcome<()> {
    if labels.is_empty() {
        return Ok(());
    }
    let labels = labels.iter().map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect();
    let request = ChangeEnvironmentRequest { labels, ..ChangeEnvironmentRequest::default() };
    fleet::change(app, caller, name, &request).await.map(drop)
}

/// Labels as they are typed, one in a line.
///
/// # Errors
/// 422 with the line.
pub(super) fn labels(text: &str) -> Outcome<Labels> {
    let mut labels = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once('=').ok_or_else(|| {
            Problem::invalid("labels", format!("`{line}` is no label"))
                .hint("write one in a line, as KEY=VALUE, such as `gpu=yes`")
        })?;
        if labels.insert(key.trim().to_owned(), value.trim().to_owned()).is_some() {
            return Err(Problem::invalid("labels", format!("the label `{}` is there twice", key.trim()))
                .hint("leave one of them"));
        }
    }
    fleet::check_labels(labels)
}

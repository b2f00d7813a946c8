//! `/a/{account}/environments/{name}/change`: a machine's name and labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::environments::{ChangeEnvironmentRequest, Environment};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use domain::placement::Labels;
use serde::Deserialize;

use crate::app::machines::{self, Reached};
use crate::app::{App, Outcome, environments, fleet};
use crate::auth::Caller;
use crate::web::environments::add::labels;
use crate::web::environments::{label_words, path_of, require_admin};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, status_of};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/{name}/change", get(ask).post(change))
}

#[derive(Debug, Deserialize)]
struct Form {
    #[serde(default)]
    name: String,
    #[serde(default)]
    labels: String,
}

#[derive(Template)]
#[template(path = "environment-change.html")]
struct Page {
    shell: Shell,
    /// As it is.
    name: String,
    path: String,
    form: Form,
    /// What the provider says of it.
    facts: Vec<String>,
    /// It keeps its name.
    is_here: bool,
    wrong: Option<Notice>,
}

async fn ask(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    let environment = environments::show(&app, &member.caller, &name).await?;
    let form = Form { name: name.clone(), labels: label_words(&own_labels(&environment)?).join("\n") };
    answer(&app, &member, &name, form, None).await
}

async fn answer(
    app: &App,
    member: &Member,
    name: &str,
    form: Form,
    wrong: Option<Notice>,
) -> Result<Response, Turned> {
    let machine = machines::show(app, &member.caller, name).await?;
    let own = own_labels(&machine.environment)?;
    let mut facts = label_words(&machine.environment.labels);
    facts.retain(|fact| !label_words(&own).contains(fact));
    let status = status_of(wrong.as_ref());
    let shell = Shell::new(app, member, Section::Environments);
    let page = Page {
        path: path_of(&shell, name),
        shell,
        name: name.to_owned(),
        form,
        facts,
        is_here: machine.reached == Reached::Here,
        wrong,
    };
    Ok(shell_page_with(&page, status))
}

/// Its labels without what the provider says.
fn own_labels(environment: &Environment) -> Outcome<Labels> {
    let mut labels = BTreeMap::from(environment.labels.clone());
    labels.retain(|key, _| !Labels::is_fact(key));
    fleet::check_labels(labels)
}

async fn change(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    match try_to_change(&app, &member.caller, &name, &form).await {
        Ok(changed) => Ok(see(&format!("/a/{}/environments/{}", member.caller.account_name, changed.name))),
        Err(problem) => answer(&app, &member, &name, form, Some(Notice::wrong(problem)?)).await,
    }
}

async fn try_to_change(app: &App, caller: &Caller, name: &str, form: &Form) -> Outcome<Environment> {
    let wanted = BTreeMap::from(labels(&form.labels)?);
    let before = BTreeMap::from(own_labels(&environments::show(app, caller, name).await?)?);
    // What is not typed any more is taken away.
    let gone = before.into_keys().filter(|key| !wanted.contains_key(key)).map(|key| (key, None));
    let labels = gone.collect::<BTreeMap<_, _>>().into_iter();
    let labels = labels.chain(wanted.clone().into_iter().map(|(key, value)| (key, Some(value)))).collect();
    let new = Some(form.name.trim().to_owned()).filter(|new| !new.is_empty() && new != name);
    let request = ChangeEnvironmentRequest { name: new, cordoned: None, labels };
    fleet::change(app, caller, name, &request).await
}

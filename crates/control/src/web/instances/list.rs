//! `/a/{account}/instances`: all of an account's instances, to be searched, filtered, and started or stopped many at a time.

use std::sync::Arc;

use api::instances::Instance;
use api::users::Role;
use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::{App, Outcome, instances};
use crate::web::instances::orders::order_of;
use crate::web::instances::overview::cores;
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::{Turned, escaped};
use crate::web::words::{Badge, Tone, bytes};
use crate::web::{see, shell_page_with};

/// Rows of one page.
const PAGE: usize = 200;
/// So many are shown at once when somebody asks for all of them.
const MOST: usize = 1000;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances", get(show).post(bulk))
}

/// What is asked for. An empty text is as none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// Words that all occur in name, package, environment or message.
    q: String,
    /// A tone: `good`, `bad`, `busy` or `quiet`.
    status: String,
    environment: String,
    /// `server`, `remote` or `tool`.
    kind: String,
    /// From 1; `all` for up to a thousand at once.
    page: String,
    /// What was done just now: an order and how many.
    done: String,
}

#[derive(Template)]
#[template(path = "instances.html")]
struct List {
    shell: Shell,
    wanted: Wanted,
    is_filtered: bool,
    environments: Vec<String>,
    rows: Vec<Row>,
    /// How many there are, how many of them are wanted, and which of those are here.
    total: usize,
    found: usize,
    first: usize,
    last: usize,
    before: Option<String>,
    after: Option<String>,
    all: Option<String>,
    done: Option<String>,
    errors: Vec<(String, String)>,
}

struct Row {
    name: String,
    badge: Badge,
    message: Option<String>,
    environment: String,
    package: String,
    cpu: String,
    memory: String,
}

async fn show(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, wanted, Vec::new()).await?)
}

async fn render(
    app: &App,
    member: &Member,
    wanted: Wanted,
    errors: Vec<(String, String)>,
) -> Outcome<Response> {
    let all = instances::list(app, &member.caller).await?;
    let mut environments: Vec<String> = all.iter().map(|instance| instance.environment.to_string()).collect();
    environments.sort();
    environments.dedup();
    let total = all.len();
    let found: Vec<Instance> = all.into_iter().filter(|instance| is_wanted(instance, &wanted)).collect();
    let count = found.len();
    let (skipped, taken) = span(&wanted.page, count);
    let rows: Vec<Row> = found.into_iter().skip(skipped).take(taken).map(row).collect();
    let page = skipped / PAGE + 1;
    let is_paged = taken == PAGE;
    let shell = Shell::new(app, member, Section::Instances);
    let at = |page: &str| address(&shell.base(), &wanted, page);
    let template = List {
        before: (is_paged && 1 < page).then(|| at(&(page - 1).to_string())),
        after: (is_paged && skipped + rows.len() < count).then(|| at(&(page + 1).to_string())),
        all: (is_paged && PAGE < count).then(|| at("all")),
        first: skipped + 1,
        last: skipped + rows.len(),
        done: done(&wanted.done),
        is_filtered: total != count,
        rows,
        environments,
        total,
        found: count,
        shell,
        wanted,
        errors,
    };
    let status = if template.errors.is_empty() { StatusCode::OK } else { StatusCode::CONFLICT };
    Ok(shell_page_with(&template, status))
}

/// How many rows come before the page that is meant, and how many it has at most.
fn span(page: &str, count: usize) -> (usize, usize) {
    if page == "all" {
        return (0, MOST);
    }
    let pages = count.div_ceil(PAGE).max(1);
    let page = page.parse::<usize>().unwrap_or(1).clamp(1, pages);
    ((page - 1) * PAGE, PAGE)
}

fn is_wanted(instance: &Instance, wanted: &Wanted) -> bool {
    let kind = || {
        if instance.container.is_some() {
            "tool"
        } else if instance.package.starts_with("http") {
            "remote"
        } else {
            "server"
        }
    };
    let has = |word: &str| {
        let texts = [instance.name.as_str(), &instance.package, instance.environment.as_str()];
        let message = instance.message.as_deref().unwrap_or_default();
        let server = instance.server_name.as_deref().unwrap_or_default();
        texts.into_iter().chain([message, server]).any(|text| text.to_lowercase().contains(word))
    };
    (wanted.status.is_empty() || Badge::from(instance.status).tone.to_string() == wanted.status)
        && (wanted.environment.is_empty() || instance.environment.as_str() == wanted.environment)
        && (wanted.kind.is_empty() || kind() == wanted.kind)
        && wanted.q.to_lowercase().split_whitespace().all(has)
}

fn row(instance: Instance) -> Row {
    let metrics = instance.metrics.as_ref();
    Row {
        name: instance.name.to_string(),
        badge: instance.status.into(),
        environment: instance.environment.to_string(),
        cpu: metrics
            .and_then(|metrics| metrics.cpu_millicores)
            .map(cores)
            .unwrap_or_default()
            .trim_end_matches(" cores")
            .to_owned(),
        memory: metrics.map(|metrics| bytes(metrics.memory_bytes)).unwrap_or_default(),
        package: domain::image::shortened(&instance.package),
        message: instance.message,
    }
}

/// The list with the same filters at another page.
fn address(base: &str, wanted: &Wanted, page: &str) -> String {
    let all = [
        ("q", &*wanted.q),
        ("status", &*wanted.status),
        ("environment", &*wanted.environment),
        ("kind", &*wanted.kind),
        ("page", page),
    ];
    let all: Vec<String> = all
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    format!("{base}/instances?{}", all.join("&"))
}

/// What was done, in words; whatever else an address says is not repeated.
fn done(text: &str) -> Option<String> {
    let (order, count) = text.split_once('-')?;
    let count: usize = count.parse().ok()?;
    let words = match order {
        "start" => "to be started",
        "stop" => "to be stopped",
        "restart" => "to be restarted",
        "remove" => "to be removed",
        _ => return None,
    };
    let (s, is) = if count == 1 { ("", "is") } else { ("s", "are") };
    Some(format!("{count} instance{s} {is} {words}"))
}

/// One order for every instance whose box is ticked. Names repeat, so the form is a list of pairs.
async fn bulk(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Vec<(String, String)>>,
) -> Result<Response, Turned> {
    let value = |name: &str| {
        form.iter().find(|(of, _)| of == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let wanted = Wanted {
        q: value("q"),
        status: value("status"),
        environment: value("environment"),
        kind: value("kind"),
        page: value("page"),
        done: String::new(),
    };
    member.caller.require(Role::Member)?;
    let word = value("order");
    let order = order_of(&word)?;
    let names = form.iter().filter(|(of, _)| of == "name").map(|(_, name)| name);
    let (mut done, mut errors) = (0, Vec::new());
    for name in names {
        match instances::order(&app, &member.caller, name, order).await {
            Ok(_) => done += 1,
            Err(problem) => errors.push((name.clone(), problem.into_detail().message)),
        }
    }
    if done == 0 && errors.is_empty() {
        errors
            .push((String::new(), "No instance was chosen: tick the box of each that is meant.".to_owned()));
    }
    if errors.is_empty() {
        let base = format!("/a/{}", member.caller.account_name);
        return Ok(see(&format!("{}&done={word}-{done}", address(&base, &wanted, &wanted.page))));
    }
    Ok(render(&app, &member, Wanted { done: format!("{word}-{done}"), ..wanted }, errors).await?)
}

impl Wanted {
    /// Whether a tone is chosen.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    fn is_status(&self, tone: &Tone) -> bool {
        self.status == tone.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_rows() {
        for (page, count, expected) in [
            ("", 0, (0, PAGE)),
            ("1", 999, (0, PAGE)),
            ("2", 999, (200, PAGE)),
            ("5", 999, (800, PAGE)),
            ("6", 999, (800, PAGE)),
            ("0", 999, (0, PAGE)),
            ("-1", 999, (0, PAGE)),
            ("all", 5000, (0, MOST)),
        ] {
            assert_eq!(span(page, count), expected, "{page} of {count}");
        }
        assert_eq!(done("stop-1").as_deref(), Some("1 instance is to be stopped"));
        assert_eq!(done("start-12").as_deref(), Some("12 instances are to be started"));
        for odd in ["", "stop", "stop-x", "<b>-1", "burn-3"] {
            assert_eq!(done(odd), None, "{odd}");
        }
    }
}

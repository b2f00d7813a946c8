//! `/a/{account}/environments/{name}/checks`: what protects a machine from its servers, and what its host agent finds there; what is
//! wrong with its fix. The machine's own page has the first at once, and the second from here, since a host may be silent.

use std::sync::Arc;
use std::time::Duration;

use api::dtma::{Check, Verdict};
use api::errors::ErrorCode;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use domain::status::Protection;

use crate::app::{App, Outcome, Problem, console, environments};
use crate::web::environments::path_of;
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

/// How long the page waits for a host, which starts programs to answer.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/{name}/checks", get(show))
}

#[derive(Template)]
#[template(path = "environment-checks.html")]
struct Page {
    shell: Shell,
    name: String,
    path: String,
    checks: Checks,
}

/// The part of a machine's pages that is its checks.
#[derive(Debug, Template)]
#[template(path = "environment-findings.html")]
pub(super) struct Checks {
    path: String,
    protections: Protections,
    findings: Option<Findings>,
}

impl Checks {
    /// Those that need nothing of the host; the script asks for the others, or whoever follows the link.
    pub(super) fn known(path: &str, reported: &[Protection]) -> Self {
        Self { path: path.to_owned(), protections: Protections::of(reported), findings: None }
    }
}

/// What protects a machine from its servers.
#[derive(Debug)]
struct Protections {
    list: Vec<Protected>,
    missing: usize,
}

/// Something that the host's kernel or engine grants, or not.
#[derive(Debug)]
struct Protected {
    name: String,
    granted: bool,
    detail: String,
    fix: &'static str,
}

impl Protections {
    /// As its host agent reported them last.
    fn of(reported: &[Protection]) -> Self {
        let list: Vec<Protected> = reported.iter().map(protected).collect();
        Self { missing: list.iter().filter(|one| !one.granted).count(), list }
    }
}

/// What the host agent finds on its machine, what is wrong first.
#[derive(Debug)]
struct Findings {
    list: Result<Vec<Finding>, (String, Option<String>)>,
    failed: usize,
    warned: usize,
}

/// One thing that it looked at.
#[derive(Debug)]
struct Finding {
    name: String,
    /// The class of its mark.
    class: &'static str,
    /// What the mark says, for who does not see it.
    words: &'static str,
    found: String,
    fix: String,
    /// What is typed on the host to mend it.
    command: Option<String>,
}

impl Findings {
    fn of(asked: Outcome<Vec<Check>>) -> Self {
        let count = |verdict| {
            let checks = asked.as_deref().unwrap_or_default();
            checks.iter().filter(|check| check.verdict == verdict).count()
        };
        let (failed, warned) = (count(Verdict::Fail), count(Verdict::Warn));
        let list = asked.map(|mut checks| {
            checks.sort_by_key(|check| std::cmp::Reverse(check.verdict));
            checks.into_iter().map(finding).collect()
        });
        let list = list.map_err(|problem| {
            let detail = problem.into_detail();
            (detail.message, detail.hint)
        });
        Self { list, failed, warned }
    }
}

fn finding(check: Check) -> Finding {
    let (class, words) = match check.verdict {
        Verdict::Ok => ("good", "is all right"),
        Verdict::Warn => ("warn", "will do, for less than everything"),
        Verdict::Fail => ("bad", "will not do"),
    };
    let mut fix = check.fix.unwrap_or_default();
    if let Some(command) = &check.command {
        // It has a place of its own, where it can be copied.
        fix = fix.replace(&format!(": `{command}`"), "");
    }
    Finding { name: check.name, class, words, found: check.found, fix, command: check.command }
}

async fn show(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    let environment = environments::show(&app, &member.caller, &name).await?;
    let asked = tokio::time::timeout(PATIENCE, console::checks(&app, &member.caller, &name)).await;
    let silent = || Problem::refused(ErrorCode::Unavailable, "its host does not answer");
    let shell = Shell::new(&app, &member, Section::Environments);
    let name = environment.name.to_string();
    let path = path_of(&shell, &name);
    let findings = Some(Findings::of(asked.unwrap_or_else(|_| Err(silent()))));
    let checks = Checks { findings, ..Checks::known(&path, &environment.protections) };
    Ok(shell_page(&Page { shell, name, path, checks }))
}

fn protected(protection: &Protection) -> Protected {
    let fix = if protection.granted { "" } else { fix_of(&protection.name) };
    let Protection { name, granted, detail } = protection.clone();
    Protected { name, granted, detail, fix }
}

/// What makes a host grant a protection that it does not grant.
fn fix_of(name: &str) -> &'static str {
    match name {
        "user namespace" => {
            "Run the host agent as root, or let ordinary users make user namespaces (`kernel.unprivileged_userns_clone`, AppArmor)."
        }
        "process namespace" | "own root" | "network namespace" => {
            "Run the host agent as a service of the machine itself, not inside a container."
        }
        "own user" => "Run the host agent as root: `berth dtma install` makes it a service.",
        "Landlock" => {
            "Use a kernel of 5.13 or later, with `landlock` in its list of security modules (`lsm=`)."
        }
        "Landlock scopes" => "Use a kernel of 6.12 or later.",
        "system call filter" => "Use a kernel with seccomp filters.",
        "egress rules" => "Install nftables on the host.",
        "user namespace of containers" => {
            "Set `userns-remap` in the engine's settings; it starts anew with that."
        }
        _ => "",
    }
}

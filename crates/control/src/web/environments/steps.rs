//! How far a machine is on its way to be one, or to be none any more.

use domain::status::EnvironmentStatus;

use crate::app::machines::{Line, Machine, Reached};
use crate::web::words::{ago, moment};

/// The way.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    /// Where the page is read again from; empty: from its own address.
    pub(super) live: String,
    /// Whether it is there.
    pub(super) is_done: bool,
}

/// One step of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) state: State,
    pub(super) title: &'static str,
    /// What there is to say of it.
    pub(super) note: String,
}

/// How far one step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Done,
    Now,
    Later,
    Failed,
}

impl State {
    /// As the stylesheet calls it.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Later => "later",
            Self::Failed => "failed",
        }
    }

    /// For whoever does not see the picture of it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "under way",
            Self::Later => "to come",
            Self::Failed => "failed",
        }
    }
}

/// The steps of a machine; `None` when there is nothing to wait for, unless `all` are wanted.
pub(super) fn of(machine: &Machine, all: bool, live: String) -> Option<Steps> {
    let steps = match &machine.environment.droplet {
        Some(_) => of_droplet(machine),
        None if machine.reached == Reached::Here => Vec::new(),
        None => of_host(machine),
    };
    let is_done = steps.iter().all(|step| step.state == State::Done);
    let is_waiting = match machine.environment.status {
        EnvironmentStatus::Active | EnvironmentStatus::Unresponsive => {
            matches!(machine.line, Line::Good { .. })
        }
        _ => !is_done,
    };
    (!steps.is_empty() && (is_waiting || all)).then_some(Steps { steps, live, is_done })
}

fn of_host(machine: &Machine) -> Vec<Step> {
    let step = |state, title, note| Step { state, title, note };
    let heard = machine.environment.last_heartbeat_at;
    let (is_run, run) = match machine.line {
        Line::None if heard.is_some() && machine.has_host => (State::Done, String::new()),
        Line::None => (State::Now, "there is no line that is good: make one".to_owned()),
        Line::Good { until } => (State::Now, format!("it is good until {}, for one host", moment(until))),
        Line::Late => (State::Failed, "it was not run in time: make another one".to_owned()),
        Line::Used { at } => (State::Done, ago(at)),
    };
    let run_at = if let Line::Used { at } = machine.line { Some(at) } else { None };
    let reports = is_run == State::Done && heard.is_some_and(|heard| run_at.is_none_or(|at| at <= heard));
    let after = |is_there: bool, before: bool| match (is_there, before) {
        (true, true) => State::Done,
        (false, true) => State::Now,
        _ => State::Later,
    };
    let reported = heard.filter(|_| reports).map(ago).unwrap_or_default();
    let mut steps = vec![
        step(State::Done, "The environment is there", String::new()),
        step(is_run, "Its line is run on the host", run),
        step(after(reports, is_run == State::Done), "The host reports", reported),
    ];
    match &machine.reached {
        Reached::Tunnel { is_open } => {
            steps.push(step(after(*is_open, reports), "Its tunnel is open", String::new()));
        }
        Reached::Dialled { address, answers, .. } => {
            steps.push(step(after(*answers, reports), "It answers when it is dialled", address.clone()));
        }
        Reached::Here | Reached::Unknown => {}
    }
    steps
}

fn of_droplet(machine: &Machine) -> Vec<Step> {
    const TITLES: [&str; 4] = [
        "The droplet is ordered, with its firewall",
        "DigitalOcean makes it",
        "It starts for the first time, and installs Berth",
        "It reports",
    ];
    let environment = &machine.environment;
    let droplet = environment.droplet.as_ref();
    let is_on = droplet.is_some_and(|droplet| droplet.status.as_deref() == Some("active"));
    // How many are done, and what the one after them is.
    let (done, then) = match environment.status {
        EnvironmentStatus::Creating => (0, State::Now),
        EnvironmentStatus::Provisioning => (1, State::Now),
        EnvironmentStatus::AwaitingHeartbeat => (2, State::Now),
        EnvironmentStatus::Active | EnvironmentStatus::Unresponsive => (4, State::Later),
        EnvironmentStatus::ErrorCreation => (0, State::Failed),
        EnvironmentStatus::ErrorProvisioning => (if is_on { 2 } else { 1 }, State::Failed),
        EnvironmentStatus::Deleting | EnvironmentStatus::ErrorDeletion => return of_removal(machine),
        EnvironmentStatus::Deprovisioned => return Vec::new(),
    };
    let note = droplet.and_then(|droplet| droplet.step.clone()).unwrap_or_default();
    let step = |(at, title)| {
        let state = match at {
            at if at < done => State::Done,
            at if at == done => then,
            _ => State::Later,
        };
        Step { state, title, note: if state == State::Now { note.clone() } else { String::new() } }
    };
    TITLES.into_iter().enumerate().map(step).collect()
}

fn of_removal(machine: &Machine) -> Vec<Step> {
    let environment = &machine.environment;
    let is_late = environment.status == EnvironmentStatus::ErrorDeletion;
    let doing = environment.droplet.as_ref().and_then(|droplet| droplet.step.clone()).unwrap_or_default();
    let step = |state, title, note| Step { state, title, note };
    vec![
        step(State::Done, "Its removal is asked for", String::new()),
        step(if is_late { State::Failed } else { State::Now }, "Its droplet is destroyed", doing),
        step(State::Later, "The environment goes", String::new()),
    ]
}

//! `berth dtma check`: whether this machine can be an environment. It gathers facts, judges them, and changes nothing.

mod gather;
mod judge;

use std::path::Path;

use serde::Serialize;

pub(super) use gather::gather;
pub(super) use judge::{Facts, judge};

use super::install::DATA;
use crate::args::{CheckArgs, Connection};
use crate::error::CliError;
use crate::output::Output;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What it is.
    name: &'static str,
    /// Whether it will do.
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do; absent where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// Whether something will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It will.
    Ok,
    /// It will, for less than everything.
    Warn,
    /// It will not.
    Fail,
}

impl Check {
    /// As people read it, the fix in a line of its own.
    pub(super) fn text(&self) -> String {
        let sign = match self.verdict {
            Verdict::Ok => "✓",
            Verdict::Warn => "!",
            Verdict::Fail => "✗",
        };
        let fix = self.fix.as_ref().map(|fix| format!("\n  {fix}")).unwrap_or_default();
        format!("{sign} {}: {}{fix}", self.name, self.found)
    }

    /// Whether it keeps the machine from being an environment.
    pub(super) fn is_failed(&self) -> bool {
        self.verdict == Verdict::Fail
    }
}

/// Looks, and says what was found.
pub(super) async fn run(args: &CheckArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    let data = connection.data.as_deref().unwrap_or(Path::new(DATA));
    let checks =
        judge(&gather(args.control_url.as_deref(), (connection.tls_pin, args.proxy.as_ref()), data).await);
    if output.json() {
        output.document(&checks)?;
    } else {
        let lines: Vec<String> = checks.iter().map(Check::text).collect();
        output.data(&lines.join("\n"))?;
    }
    let failed = checks.iter().filter(|check| check.is_failed()).count();
    if failed == 0 {
        return Ok(());
    }
    let what = if failed == 1 { "one thing keeps".to_owned() } else { format!("{failed} things keep") };
    Err(CliError::failed(format!("{what} this machine from being an environment")))
}

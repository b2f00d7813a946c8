//! What can be typed about the audit.

use std::ffi::OsString;
use std::time::Duration;

use api::audit::CallOutcome;
use clap::Args;

use super::duration_seconds;

/// `berth audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Everything since then, such as `12h`, `30d`, instead of the newest 50 lines; with `--json` as JSON Lines
    #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
    pub(crate) since: Option<u64>,
    /// Show the calls of MCP servers instead of the changes
    #[arg(long)]
    pub(crate) calls: bool,
    /// Only actions that begin with this, such as `instance.` or `token.create`; of calls, methods such as `tools/call`
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only what was done to the thing of this name or id; of calls, the instance
    #[arg(long, value_name = "NAME")]
    pub(crate) object: Option<String>,
    /// Only calls of the tool, prompt or resource of this name
    #[arg(long, value_name = "TOOL", requires = "calls")]
    pub(crate) tool: Option<String>,
    /// Only calls by this user, or with this token (`token:ID`)
    #[arg(long, value_name = "USER", requires = "calls")]
    pub(crate) by: Option<String>,
    /// Only calls with this result: `ok`, `error`, `refused`, `cancelled` or `accepted`
    #[arg(long, value_name = "RESULT", requires = "calls", value_parser = outcome)]
    pub(crate) result: Option<CallOutcome>,
}

/// How long it is kept.
#[derive(Debug, Args)]
pub(crate) struct AuditKeepArgs {
    /// Remove lines of the audit that are older, such as `365d`; default: keep all
    #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
    pub(crate) audit_keep: Option<u64>,
    /// Keep the parameters of calls in the audit too, without the values of the instance's secrets
    #[arg(long)]
    pub(crate) audit_arguments: bool,
}

fn outcome(word: &str) -> Result<CallOutcome, String> {
    let all = CallOutcome::ALL.map(CallOutcome::word).join(", ");
    CallOutcome::of_word(word).ok_or_else(|| format!("one of {all}"))
}

impl AuditKeepArgs {
    /// How long, when not for ever.
    pub(crate) fn keep(&self) -> Option<Duration> {
        self.audit_keep.map(Duration::from_secs)
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let keep = self.audit_keep.map(|seconds| format!("--audit-keep={seconds}s").into());
        keep.into_iter().chain(self.audit_arguments.then(|| "--audit-arguments".into()))
    }
}

//! What can be typed about the audit.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::duration_seconds;

/// `berth audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Everything since then, such as `12h`, `30d`, instead of the newest 50 lines; with `--json` as JSON Lines
    #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
    pub(crate) since: Option<u64>,
    /// Only actions that begin with this, such as `instance.` or `token.create`
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only what was done to the thing of this name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) object: Option<String>,
}

/// How long it is kept.
#[derive(Debug, Args)]
pub(crate) struct AuditKeepArgs {
    /// Remove lines of the audit that are older, such as `365d`; default: keep all
    #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
    pub(crate) audit_keep: Option<u64>,
}

impl AuditKeepArgs {
    /// How long, when not for ever.
    pub(crate) fn keep(&self) -> Option<Duration> {
        self.audit_keep.map(Duration::from_secs)
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> Option<OsString> {
        self.audit_keep.map(|seconds| format!("--audit-keep={seconds}s").into())
    }
}

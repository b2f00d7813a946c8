//! After what time a server that nobody uses is stopped.

use api::instances::DeployRequest;
use domain::package::Package;
use domain::spec::Launch;

use crate::app::Problem;

/// Below, a server would sleep between two calls of one conversation.
const LEAST: u64 = 10;
/// Seven days: above, it might as well never sleep.
const MOST: u64 = 604_800;

pub(super) fn fill(launch: &mut Launch, request: &DeployRequest, package: &Package) -> Result<(), Problem> {
    let asked = request.sleep_after_seconds.or(launch.sleep_after_seconds);
    launch.sleep_after_seconds = asked.filter(|seconds| *seconds != 0);
    let Some(seconds) = launch.sleep_after_seconds else { return Ok(()) };
    let invalid = |why: String| Problem::invalid("sleep_after_seconds", why);
    if launch.container.is_some() {
        let why = "a container tool speaks no MCP, so no call could wake it";
        return Err(invalid(why.to_owned())
            .hint("leave `sleep_after_seconds` out, and stop it when it is not needed"));
    }
    if let Package::Remote { .. } = package {
        let why = "a server that runs elsewhere has no process here that could sleep";
        return Err(invalid(why.to_owned()).hint("leave `sleep_after_seconds` out"));
    }
    if !(LEAST..=MOST).contains(&seconds) {
        return Err(invalid(format!("from {LEAST} seconds to {MOST}, which is 7 days, are accepted"))
            .hint("a server of 0 seconds never sleeps"));
    }
    Ok(())
}

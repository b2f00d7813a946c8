//! The older platform's status words, and what they say to Berth. None says more than Berth knows: it has heard of no host yet, and no
//! server has answered it.

use domain::catalog::Standing;
use domain::spec::DesiredState;
use domain::status::{EnvironmentStatus, InstanceStatus};

/// What an environment's word means; `has_machine`: whether it has a number or an address.
pub(super) fn environment(
    word: Option<&str>,
    has_machine: bool,
) -> (EnvironmentStatus, Option<&'static str>) {
    use EnvironmentStatus as To;
    let unfinished = if has_machine { To::AwaitingHeartbeat } else { To::ErrorCreation };
    match word {
        Some("active" | "unresponsive" | "inactive" | "scaling" | "awaiting_heartbeat") | None => {
            (To::AwaitingHeartbeat, None)
        }
        Some("pending_creation" | "creating" | "pending_provision" | "provisioning") => {
            (unfinished, (!has_machine).then_some("its machine was not made when it was imported"))
        }
        Some("error_creation") => (To::ErrorCreation, None),
        Some("error_provisioning") => (To::ErrorProvisioning, None),
        Some("error_deletion" | "error_deprovisioning") => {
            (To::AwaitingHeartbeat, Some("its machine could not be destroyed there, and may still be billed"))
        }
        Some(
            "pending_deletion"
            | "deleting"
            | "deleted"
            | "pending_deprovision"
            | "deprovisioning"
            | "deprovisioned",
        ) => {
            (To::Deprovisioned, Some("its machine was being destroyed there; see whether it is still billed"))
        }
        Some(_) => (To::AwaitingHeartbeat, Some("its status is a word that is not known")),
    }
}

/// What an instance's word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InstanceWord {
    /// It is wanted so, and shown so until its host reports.
    Wanted(DesiredState, InstanceStatus),
    /// Its owner wanted it gone.
    Gone,
    /// A word that is not one.
    Unknown,
}

/// What an instance's word means.
pub(super) fn instance(word: Option<&str>) -> InstanceWord {
    use DesiredState::{Running, Stopped};
    use InstanceStatus as To;
    match word {
        None
        | Some(
            "pending_install"
            | "installing"
            | "active"
            | "pending_config"
            | "starting"
            | "starting_on_toolbox"
            | "pending_deploy"
            | "deploying"
            | "running"
            | "unknown",
        ) => InstanceWord::Wanted(Running, To::PendingDeploy),
        Some("stopped" | "stopping" | "stopping_on_toolbox" | "disabled") => {
            InstanceWord::Wanted(Stopped, To::Stopped)
        }
        Some("error_install" | "error_installing" | "error_deploying") => {
            InstanceWord::Wanted(Running, To::ErrorInstall)
        }
        Some("error" | "error_runtime" | "error_starting") => InstanceWord::Wanted(Running, To::ErrorRuntime),
        Some("error_stopping") => InstanceWord::Wanted(Stopped, To::ErrorRuntime),
        Some(
            "pending_uninstall" | "uninstalling" | "uninstalled" | "error_uninstall" | "pending_delete"
            | "deleting" | "error_deleting",
        ) => InstanceWord::Gone,
        Some(_) => InstanceWord::Unknown,
    }
}

/// What a catalog entry's word means.
pub(super) fn standing(word: Option<&str>) -> Standing {
    match word {
        Some("deprecated") => Standing::Deprecated,
        Some("archived") => Standing::Deleted,
        _ => Standing::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of `account_tool_environment_status_enum` and of `droplet_status_enum`.
    const ENVIRONMENTS: [&str; 19] = [
        "inactive",
        "pending_creation",
        "creating",
        "active",
        "error_creation",
        "pending_deletion",
        "deleting",
        "deleted",
        "error_deletion",
        "unresponsive",
        "scaling",
        "pending_provision",
        "provisioning",
        "error_provisioning",
        "pending_deprovision",
        "deprovisioning",
        "deprovisioned",
        "error_deprovisioning",
        "awaiting_heartbeat",
    ];
    /// All of `account_tool_installation_status_enum`, and what code wrote that is not in it.
    const INSTANCES: [&str; 28] = [
        "pending_install",
        "installing",
        "active",
        "error_install",
        "pending_uninstall",
        "uninstalling",
        "uninstalled",
        "error_uninstall",
        "pending_config",
        "stopped",
        "starting",
        "stopping",
        "error_runtime",
        "disabled",
        "pending_deploy",
        "deploying",
        "running",
        "error",
        "pending_delete",
        "deleting",
        "starting_on_toolbox",
        "stopping_on_toolbox",
        "error_deploying",
        "error_deleting",
        "error_starting",
        "error_stopping",
        "error_installing",
        "unknown",
    ];

    #[test]
    fn every_word_is_known_and_none_claims_what_nobody_saw() {
        for word in ENVIRONMENTS {
            for has_machine in [false, true] {
                let (status, note) = environment(Some(word), has_machine);
                assert_ne!(status, EnvironmentStatus::Active, "{word}: no heartbeat has come");
                assert!(note.is_none_or(|note| !note.contains("not known")), "{word}");
            }
        }
        assert!(environment(Some("on_fire"), true).1.is_some_and(|note| note.contains("not known")));
        for word in INSTANCES {
            let means = instance(Some(word));
            assert_ne!(means, InstanceWord::Unknown, "{word}");
            if let InstanceWord::Wanted(_, status) = means {
                assert_ne!(status, InstanceStatus::Running, "{word}: nothing has answered");
            }
        }
        assert_eq!(instance(Some("Up 2 hours")), InstanceWord::Unknown);
    }
}

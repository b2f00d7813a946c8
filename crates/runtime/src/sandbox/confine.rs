//! What the server's own process gives up, in the order in which it can, last of all before it becomes the server.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

use super::Failure;
use super::filter;
use super::policy::{Policy, ResourceLimits};

/// The newest Landlock that this crate knows; an older kernel enforces what it has of it.
const NEWEST: ABI = ABI::V10;

/// Gives up everything that the policy does not grant.
pub(super) fn confine(policy: &Policy) -> Result<(), Failure> {
    rustix::process::setsid().map_err(Failure::of("start a session"))?;
    limit(&policy.limits, policy.enforce.own_uid || policy.enforce.user_namespace)?;
    lock_capabilities()?;
    if policy.enforce.own_uid {
        let uid = policy.uid.ok_or_else(|| {
            Failure::new("change the user: the policy names none", io::ErrorKind::InvalidInput.into())
        })?;
        become_user(uid)?;
    }
    drop_capabilities(CapabilitySet::empty())?;
    rustix::thread::set_no_new_privs(true).map_err(Failure::of("set no_new_privs"))?;
    if policy.enforce.landlock {
        landlock(policy)?;
    }
    if policy.enforce.system_call_filter {
        filter::install().map_err(Failure::of("install the system call filter"))?;
    }
    // After the change of user, which clears it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Failure::of("tie the server to its parent"))
}

/// Sets the limits. `processes` counts all of a user's, so it is set only where the user is the program's own.
pub(super) fn limit(limits: &ResourceLimits, own_user: bool) -> Result<(), Failure> {
    let wanted = [
        (Resource::Core, Some(0)),
        (Resource::Nofile, limits.open_files),
        (Resource::Data, limits.data_bytes),
        (Resource::Nproc, limits.processes.filter(|_| own_user)),
    ];
    for (resource, value) in wanted {
        let Some(value) = value else { continue };
        // An ordinary user cannot go above what it was given.
        let value = rustix::process::getrlimit(resource).maximum.map_or(value, |maximum| value.min(maximum));
        rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .map_err(Failure::of(&format!("limit {resource:?}")))?;
    }
    Ok(())
}

/// Becomes `uid`, with the group of the same number and no other, for good.
pub(super) fn become_user(uid: u32) -> Result<(), Failure> {
    use rustix::process::{Gid, Uid};
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    rustix::thread::set_thread_groups(&[]).map_err(Failure::of("leave all groups"))?;
    rustix::thread::set_thread_res_gid(group, group, group).map_err(Failure::of("change the group"))?;
    rustix::thread::set_thread_res_uid(user, user, user).map_err(Failure::of("change the user"))
}

/// Without the right to (an ordinary user without a namespace), there is also nothing to lock.
fn lock_capabilities() -> Result<(), Failure> {
    let held = rustix::thread::capabilities(None).map_err(Failure::of("read the capabilities"))?;
    if !held.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // Numbers that the kernel does not know are not in the set.
        if rustix::thread::capability_is_in_bounding_set(capability) == Ok(true) {
            rustix::thread::remove_capability_from_bounding_set(capability)
                .map_err(Failure::of("empty the bounding set"))?;
        }
    }
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits).map_err(Failure::of("make user 0 an ordinary one"))
}

/// Drops every capability of this process but `keep`, for good once `no_new_privs` is set.
pub(super) fn drop_capabilities(keep: CapabilitySet) -> Result<(), Failure> {
    let held = rustix::thread::capabilities(None).map_err(Failure::of("read the capabilities"))?;
    let kept = held.permitted & keep;
    rustix::thread::clear_ambient_capability_set().map_err(Failure::of("clear the ambient set"))?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )
    .map_err(Failure::of("drop the capabilities"))
}

/// Puts the policy's allow-list on this process and all its children, for good.
fn landlock(policy: &Policy) -> Result<(), Failure> {
    let read = AccessFs::from_read(NEWEST);
    let write = AccessFs::from_all(NEWEST) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut rules: Vec<(PathBuf, BitFlags<AccessFs>)> = Vec::new();
    rules.extend(policy.read.iter().chain(&policy.copy).map(|path| (path.clone(), read)));
    rules.extend(policy.write.iter().map(|path| (path.clone(), write)));
    for device in ["null", "zero", "full", "random", "urandom"] {
        let access = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev | AccessFs::Truncate;
        rules.push((Path::new("/dev").join(device), access));
    }
    if policy.enforce.mount_namespace {
        for path in ["/tmp", "/dev/shm"] {
            rules.push((path.into(), write));
        }
        // The whole root is the allow-list, so its directories tell nothing that is not allowed.
        rules.push(("/".into(), AccessFs::ReadDir.into()));
    }
    if policy.enforce.mount_namespace && policy.enforce.pid_namespace {
        rules.push(("/proc".into(), read));
    } else {
        // The host's: only what is about this process or about no process.
        for name in ["self", "cpuinfo", "meminfo", "stat", "uptime", "loadavg", "version", "filesystems"] {
            rules.push((Path::new("/proc").join(name), read));
        }
    }
    let status = restrict(&rules, policy.enforce.landlock_scopes)
        .map_err(|e| Failure::new("install the Landlock rules", io::Error::other(e)))?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err(Failure::new(
            "install the Landlock rules",
            io::Error::new(io::ErrorKind::Unsupported, "the kernel does not enforce them"),
        )),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

/// Restricts this process to `rules`; paths that are not there are skipped.
pub(super) fn restrict(
    rules: &[(PathBuf, BitFlags<AccessFs>)],
    scopes: bool,
) -> Result<RestrictionStatus, landlock::RulesetError> {
    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?;
    if scopes {
        ruleset = ruleset.scope(Scope::from_all(NEWEST))?;
    }
    let mut ruleset = ruleset.create()?;
    for (path, access) in rules {
        let Ok(metadata) = path.metadata() else { continue };
        let Ok(fd) = PathFd::new(path) else { continue };
        let access = if metadata.is_dir() { *access } else { *access & AccessFs::from_file(NEWEST) };
        ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
    }
    ruleset.restrict_self()
}

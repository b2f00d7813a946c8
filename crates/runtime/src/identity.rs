//! Users for instances: when Berth runs as root, each instance's server runs as a user of its own.
//!
//! The number comes from the instance's id, so that two data directories on one host choose different ones, and
//! is recorded beside the instance, so that no two instances of one DTMA share one and a restart keeps it.

use std::fs;
use std::path::Path;

use domain::ids::InstanceId;
use sha2::{Digest as _, Sha256};

use crate::error::RuntimeError;
use crate::layout::Layout;

/// The first user number; below lie people, system services and the usual ranges of containers.
const LOWEST: u32 = 200_000;
/// The last. Above lies what some programs take for negative.
pub(crate) const HIGHEST: u32 = 2_000_000_000;

/// The instance's user, chosen and recorded at first use. The caller lets only one task in at a time.
pub(crate) fn user_of(layout: &Layout, instance: InstanceId) -> Result<u32, RuntimeError> {
    let record = layout.uid_record(instance);
    if let Some(uid) = read(&record) {
        return Ok(uid);
    }
    let taken = taken(layout);
    let mut uid = proposal(instance.to_string().as_bytes());
    while taken.contains(&uid) {
        uid = if uid == HIGHEST { LOWEST } else { uid + 1 };
    }
    fs::write(&record, uid.to_string()).map_err(RuntimeError::io("write", record))?;
    Ok(uid)
}

/// A user for something that is no instance, such as an install.
pub(crate) fn proposal(name: &[u8]) -> u32 {
    let digest = Sha256::digest(name);
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    LOWEST + number % (HIGHEST - LOWEST + 1)
}

fn taken(layout: &Layout) -> Vec<u32> {
    let Ok(instances) = fs::read_dir(layout.instances()) else { return Vec::new() };
    instances.flatten().filter_map(|entry| read(&entry.path().join("uid"))).collect()
}

fn read(record: &Path) -> Option<u32> {
    let uid = fs::read_to_string(record).ok()?.trim().parse().ok()?;
    (LOWEST..=HIGHEST).contains(&uid).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_keep_their_users_and_share_none() {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::new(data.path()).unwrap();
        let (first, second) = (InstanceId::generate(), InstanceId::generate());
        for id in [first, second] {
            fs::create_dir_all(layout.instance_dir(id)).unwrap();
        }
        // Another has taken what the first would choose.
        let wanted = proposal(first.to_string().as_bytes());
        fs::write(layout.uid_record(second), wanted.to_string()).unwrap();
        assert_eq!(user_of(&layout, second).unwrap(), wanted);
        let own = user_of(&layout, first).unwrap();
        assert_ne!(own, wanted);
        assert_eq!(user_of(&layout, first).unwrap(), own);
        // Nonsense, or a system user, is not believed.
        for nonsense in ["0", "1000", "", "-1", "x"] {
            fs::write(layout.uid_record(first), nonsense).unwrap();
            assert!((LOWEST..=HIGHEST).contains(&user_of(&layout, first).unwrap()), "{nonsense}");
        }
    }
}

//! The trees of the store, for a cleanup, and removing one with the requests that resolved to it.

use std::fs;

use domain::cleanup::{Found, Thing, ThingKind};

use super::{Record, Store};
use crate::error::RuntimeError;
use crate::inventory;

impl Store {
    /// Every installed tree. Which of them is needed the store does not know.
    pub(crate) fn found(&self) -> Result<Vec<Found>, RuntimeError> {
        inventory::by_digest(&self.directory)?
            .into_iter()
            .map(|(name, path)| {
                let bytes = inventory::size(&path).map_err(RuntimeError::io("read", &path))?;
                let digests = vec![name.replacen('-', ":", 1)];
                Ok(Found { thing: Thing { kind: ThingKind::Package, name, bytes }, digests, busy: false })
            })
            .collect()
    }

    /// Removes the tree of that name. The requests go first: one whose tree is gone would be installed anew anyway.
    pub(crate) fn remove(&self, name: &str) -> Result<(), RuntimeError> {
        let Some((_, tree)) =
            inventory::by_digest(&self.directory)?.into_iter().find(|(tree, _)| tree == name)
        else {
            return Ok(());
        };
        let requests = self.directory.join("requests");
        for entry in fs::read_dir(&requests).map_err(RuntimeError::io("read", &requests))? {
            let path = entry.map_err(RuntimeError::io("read", &requests))?.path();
            let record = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Record>(&text).ok());
            if record.is_some_and(|record| self.tree(&record.digest) == tree) {
                fs::remove_file(&path).map_err(RuntimeError::io("remove", path))?;
            }
        }
        // Under another name first: what is half removed must not be taken for installed.
        let draft = self.directory.join(format!(".staging-{name}"));
        fs::rename(&tree, &draft).map_err(RuntimeError::io("remove", &tree))?;
        fs::remove_dir_all(&draft).map_err(RuntimeError::io("remove", draft))
    }
}

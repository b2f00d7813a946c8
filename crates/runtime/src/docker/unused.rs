//! What of ours an engine has, for a cleanup: ended containers, the network, images and copies of the binary. Volumes are
//! not among them: they hold data, and go with their instance.

use std::collections::HashMap;

use bollard::query_parameters::{
    InspectContainerOptions, InspectNetworkOptions, ListContainersOptions, RemoveContainerOptions,
};
use domain::cleanup::{Found, Thing, ThingKind};
use domain::ids::InstanceId;

use super::engine::{LOOK, WORK};
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;
use crate::inventory::{self, Inventory};

impl DockerRuntime {
    /// Everything of ours. An engine that is away is said and keeps nobody from clearing the rest.
    pub(super) async fn found(&self) -> Result<Inventory, RuntimeError> {
        let mut all = self.process.found_here().await?;
        // Without a copy of the binary no container was ever made, and there may be no engine at all.
        let was_used = self.layout.binaries().exists();
        if was_used {
            let own = self.binary().await?.to_owned();
            let directory = self.layout.binaries();
            let place = directory.clone();
            let binaries = tokio::task::spawn_blocking(move || inventory::binaries(&directory, &own))
                .await
                .map_err(|e| RuntimeError::io("read", place)(e.into()))??;
            all.found.extend(binaries);
        }
        let mut took = |what: &str, found: Result<Vec<Found>, RuntimeError>| match found {
            Ok(found) => all.found.extend(found),
            Err(error) => all.unseen.push(format!("{what} could not be looked at: {error}")),
        };
        took("images", self.found_images().await);
        if was_used {
            took("containers", self.found_containers().await);
            took("networks", self.found_network().await);
        }
        Ok(all)
    }

    /// Removes one of them.
    pub(super) async fn remove_thing(&self, thing: &Thing) -> Result<(), RuntimeError> {
        match thing.kind {
            ThingKind::Image => self.remove_image(&thing.name).await,
            ThingKind::Container => self.remove_ended(&thing.name).await,
            ThingKind::Network => {
                let name = thing.name.as_str();
                self.engine
                    .find(
                        "remove the network",
                        WORK,
                        |docker| async move { docker.remove_network(name).await },
                    )
                    .await
                    .map(drop)
            }
            ThingKind::Binary => {
                inventory::remove_binary(&self.layout.binaries(), &thing.name)?;
                self.process.remove_here(thing).await
            }
            ThingKind::Package => self.process.remove_here(thing).await,
        }
    }

    /// Containers of instances of this host that ended and were not removed yet. One without a record on our disk is
    /// somebody else's, whatever its labels say.
    async fn found_containers(&self) -> Result<Vec<Found>, RuntimeError> {
        let filters = HashMap::from([
            ("label".to_owned(), vec![mark::label_of(&self.identity)]),
            ("status".to_owned(), vec!["exited".to_owned(), "dead".to_owned()]),
        ]);
        let options = ListContainersOptions {
            all: true,
            size: true,
            filters: Some(filters),
            ..ListContainersOptions::default()
        };
        let list =
            self.engine
                .ask("list the containers", WORK, |docker| async move {
                    docker.list_containers(Some(options)).await
                })
                .await?;
        let mut all = Vec::new();
        for container in list {
            let names = container.names.unwrap_or_default();
            let Some(name) = names.first().map(|name| name.trim_start_matches('/').to_owned()) else {
                continue;
            };
            if self.is_own_container(&name, &container.labels.unwrap_or_default())? {
                let bytes = container.size_rw.and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
                let thing = Thing { kind: ThingKind::Container, name, bytes };
                all.push(Found { thing, digests: Vec::new(), busy: false });
            }
        }
        Ok(all)
    }

    fn is_own_container(&self, name: &str, labels: &HashMap<String, String>) -> Result<bool, RuntimeError> {
        let Some(instance) = name.strip_prefix("berth-").and_then(|id| id.parse::<InstanceId>().ok()) else {
            return Ok(false);
        };
        let record = mark::recorded(&self.layout, instance)?;
        Ok(record.is_some_and(|record| mark::is_ours(instance, &self.identity, &record, name, labels)))
    }

    /// By its id, so that one which takes its place meanwhile is not meant; without force, so that none that runs is.
    async fn remove_ended(&self, name: &str) -> Result<(), RuntimeError> {
        let found = self
            .engine
            .find("look at the container", LOOK, |docker| async move {
                docker.inspect_container(name, None::<InspectContainerOptions>).await
            })
            .await?;
        let Some(found) = found else { return Ok(()) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let (Some(id), true) = (found.id, self.is_own_container(name, &labels)?) else { return Ok(()) };
        let options = RemoveContainerOptions { force: false, v: true, link: false };
        self.engine
            .find("remove the container", WORK, |docker| async move {
                docker.remove_container(&id, Some(options)).await
            })
            .await
            .map(drop)
    }

    async fn found_network(&self) -> Result<Vec<Found>, RuntimeError> {
        let name = self.network_name();
        let looked = name.as_str();
        let found = self
            .engine
            .find("look at the network", LOOK, |docker| async move {
                docker.inspect_network(looked, None::<InspectNetworkOptions>).await
            })
            .await?;
        let Some(found) = found else { return Ok(Vec::new()) };
        let labels = found.labels.unwrap_or_default();
        let expected = mark::shared_labels(&self.identity);
        if !expected.iter().all(|(label, value)| labels.get(label) == Some(value)) {
            return Ok(Vec::new());
        }
        let busy = found.containers.is_some_and(|containers| !containers.is_empty());
        let thing = Thing { kind: ThingKind::Network, name, bytes: 0 };
        Ok(vec![Found { thing, digests: Vec::new(), busy }])
    }
}

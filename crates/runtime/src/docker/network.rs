//! The network of instances that may reach others: a bridge of this DTMA's own, on which containers do not see each other.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::InspectNetworkOptions;
use domain::container::Egress;
use domain::spec::InstanceSpec;

use super::engine::{LOOK, WORK};
use super::{DockerRuntime, mark};
use crate::error::RuntimeError;

impl DockerRuntime {
    /// The network mode of an instance's container; the network is there afterwards.
    pub(super) async fn network_of(&self, spec: &InstanceSpec) -> Result<String, RuntimeError> {
        match spec.launch.egress.clone().unwrap_or_default() {
            Egress::None => Ok("none".to_owned()),
            Egress::AllowList { .. } => Err(RuntimeError::NoAllowList),
            Egress::Open => self.bridge().await,
        }
    }

    /// The name of the network that this DTMA's instances share.
    pub(super) fn network_name(&self) -> String {
        format!("berth-{}", &self.identity[..12])
    }

    async fn bridge(&self) -> Result<String, RuntimeError> {
        let name = self.network_name();
        let _one_at_a_time = self.network.lock().await;
        let looked = name.clone();
        let found = self
            .engine
            .find("look at the network", LOOK, |docker| async move {
                docker.inspect_network(&looked, None::<InspectNetworkOptions>).await
            })
            .await?;
        if found.is_some() {
            return Ok(name);
        }
        let options =
            HashMap::from([("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())]);
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            options: Some(options),
            labels: Some(mark::shared_labels(&self.identity)),
            ..NetworkCreateRequest::default()
        };
        let made = self
            .engine
            .ask("make the network", WORK, |docker| async move { docker.create_network(request).await })
            .await;
        match made {
            // Made by the start of another instance meanwhile.
            Ok(_) | Err(RuntimeError::Engine { status: 409, .. }) => Ok(name),
            Err(error) => Err(error),
        }
    }
}

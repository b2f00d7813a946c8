//! Ports that the engine refuses to publish: whose they are.

use bollard::query_parameters::ListContainersOptions;

use super::DockerRuntime;
use super::engine::LOOK;
use crate::error::RuntimeError;

/// What every version of the engine says of a port that it takes for published.
const ALLOCATED: &str = "port is already allocated";

impl DockerRuntime {
    /// The error of a start in the words of what can be done about it, when it is about a port.
    pub(super) async fn about_port(&self, error: RuntimeError) -> RuntimeError {
        let RuntimeError::Engine { detail, .. } = &error else { return error };
        let Some(port) = refused_port(detail) else { return error };
        let options = ListContainersOptions { all: false, ..ListContainersOptions::default() };
        let listed =
            self.engine
                .ask("list its containers", LOOK, |docker| async move {
                    docker.list_containers(Some(options)).await
                })
                .await;
        // An engine that does not say who has it said at least that somebody has.
        let Ok(containers) = listed else { return error };
        let holder = containers.into_iter().find(|container| {
            container.ports.iter().flatten().any(|published| published.public_port == Some(port))
        });
        match holder {
            Some(holder) => {
                let name = holder.names.unwrap_or_default().into_iter().next().unwrap_or_default();
                RuntimeError::PortTaken { port, container: name.trim_start_matches('/').to_owned() }
            }
            None => RuntimeError::PortKept { port },
        }
    }
}

/// The port of `… Bind for 127.0.0.1:8080 failed: port is already allocated`.
fn refused_port(detail: &str) -> Option<u16> {
    let before = detail.split_once(ALLOCATED)?.0;
    let address = before.rsplit_once("Bind for ")?.1.split_once(' ')?.0;
    address.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_words_of_the_engine() {
        for (words, port) in [
            (
                "driver failed programming external connectivity on endpoint berth-x (0a1b): Bind for 127.0.0.1:8080 failed: port is already allocated",
                Some(8080),
            ),
            ("Bind for 0.0.0.0:1 failed: port is already allocated", Some(1)),
            ("Bind for [::1]:65535 failed: port is already allocated", Some(65535)),
            ("Bind for 127.0.0.1:x failed: port is already allocated", None),
            ("driver failed: address already in use", None),
            ("port is already allocated", None),
        ] {
            assert_eq!(refused_port(words), port, "{words}");
        }
    }
}

//! Docker create options and ports as older rows have them, in all shapes that were in use. What cannot be honoured is told.

use std::net::IpAddr;

use domain::catalog::{is_reserved_variable, is_variable};
use domain::container::{Port, Protocol};
use domain::secret::{Secret, Secrets};
use domain::spec::Limits;
use serde_json::Value;

/// The DTMA's own port, which some code gave to every server.
const DTMA: u16 = 30000;
/// The least memory that anything starts with, in MiB.
const LEAST_MEMORY: u64 = 16;
/// The least processor time that an engine takes, in thousandths of a core.
const LEAST_CPU: u64 = 10;
/// The fewest processes of a container.
const FEWEST: u64 = 8;
/// Options that say what is so anyway, or only repeat what was said beside them.
const SILENT: [&str; 6] = ["ExposedPorts", "Image", "Labels", "name", "Tty", "OpenStdin"];

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Environment variables: all are treated as secrets, since some are.
    pub(super) env: Secrets,
    /// Published ports.
    pub(super) ports: Vec<Port>,
    /// Limits.
    pub(super) limits: Limits,
    /// The image, where the options name one.
    pub(super) image: Option<String>,
    /// What is not honoured, in words.
    pub(super) notes: Vec<String>,
}

impl Options {
    /// Reads create options, and the ports beside them.
    pub(super) fn read(options: &Value, ports: &Value) -> Self {
        let mut read = Self::default();
        let mut ignored = Vec::new();
        for (key, value) in options.as_object().into_iter().flatten() {
            match key.as_str() {
                _ if value.is_null() => {}
                "Env" => read.read_env(value),
                "HostConfig" => read.read_host(value, &mut ignored),
                "Image" => read.image = value.as_str().map(str::to_owned),
                key if SILENT.contains(&key) => {}
                key => ignored.push(key.to_owned()),
            }
        }
        read.read_ports(ports);
        if !ignored.is_empty() {
            read.notes.push(format!("not honoured: {}", ignored.join(", ")));
        }
        read
    }

    fn read_env(&mut self, value: &Value) {
        for entry in value.as_array().into_iter().flatten() {
            match entry.as_str().and_then(|text| text.split_once('=')) {
                Some((name, value)) => self.set(name, value),
                // The entry itself may be a secret and is not repeated.
                None => self.notes.push("an entry of Env is no `NAME=VALUE`".to_owned()),
            }
        }
    }

    /// One environment variable; the last one of a name counts.
    fn set(&mut self, name: &str, value: &str) {
        if let Some(why) = no_variable(name) {
            self.notes.push(format!("`{name}` {why}"));
        } else {
            self.env.insert(name.to_owned(), Secret::new(value));
        }
    }

    fn read_host(&mut self, value: &Value, ignored: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match key.as_str() {
                // What is wanted running is started again anyway.
                "RestartPolicy" => {}
                _ if value.is_null() => {}
                "PortBindings" => self.read_ports(value),
                "Memory" => {
                    let mib = value.as_u64().map(|bytes| bytes >> 20);
                    self.limits.memory_mib = mib.filter(|mib| LEAST_MEMORY <= *mib);
                }
                "NanoCpus" => {
                    let millicores = value.as_u64().map(|nanos| nanos / 1_000_000);
                    self.limits.cpu_millicores = millicores.filter(|millicores| LEAST_CPU <= *millicores);
                }
                "PidsLimit" => self.limits.processes = value.as_u64().filter(|limit| FEWEST <= *limit),
                key => ignored.push(format!("HostConfig.{key}")),
            }
        }
    }

    /// Ports: `{"container_port": 80, "host_port": 8080}` or a list of such, `{"8080": "8080"}`, or Docker's
    /// `{"8080/tcp": [{"HostIp": …, "HostPort": …}]}`.
    fn read_ports(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|one| self.read_ports(one)),
            Value::Object(one) if one.contains_key("container_port") || one.contains_key("host_port") => {
                self.publish(
                    port_of(&value["container_port"]),
                    port_of(&value["host_port"]),
                    None,
                    Protocol::Tcp,
                );
            }
            Value::Object(all) => {
                for (key, value) in all {
                    let (container, protocol) = match key.split_once('/') {
                        Some((port, "udp")) => (port, Protocol::Udp),
                        Some((port, _)) => (port, Protocol::Tcp),
                        None => (key.as_str(), Protocol::Tcp),
                    };
                    let container = container.parse().ok();
                    let bindings = match value {
                        Value::Array(bindings) => bindings.iter().collect(),
                        other => vec![other],
                    };
                    for binding in bindings {
                        let (host, address) = match binding {
                            Value::Object(_) => (port_of(&binding["HostPort"]), binding["HostIp"].as_str()),
                            other => (port_of(other), None),
                        };
                        self.publish(container, host, address, protocol);
                    }
                }
            }
            _ => {}
        }
    }

    fn publish(
        &mut self,
        container: Option<u16>,
        host: Option<u16>,
        address: Option<&str>,
        protocol: Protocol,
    ) {
        let (Some(container), Some(host)) = (container, host) else {
            self.notes.push("a binding of ports names no port of the host, so none is published".to_owned());
            return;
        };
        if host == DTMA {
            self.notes.push(format!("port {DTMA} is its host agent's own and is not published"));
            return;
        }
        let address = match address.filter(|text| !text.is_empty()).map(str::parse::<IpAddr>) {
            Some(Ok(address)) => address,
            // As the engine did: every address of the host.
            Some(Err(_)) | None => IpAddr::from([0, 0, 0, 0]),
        };
        let port = Port { container, host, address: Some(address), protocol };
        if !self.ports.iter().any(|known| known.host == port.host && known.protocol == port.protocol) {
            self.ports.push(port);
        }
    }
}

/// Why a name is no variable that may be handed on; completes a sentence that begins with it.
pub(super) fn no_variable(name: &str) -> Option<&'static str> {
    if !is_variable(name) {
        return Some("is no name of an environment variable");
    }
    is_reserved_variable(name).then_some("is a variable that Berth sets itself")
}

fn port_of(value: &Value) -> Option<u16> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        _ => None,
    };
    number.filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_in_every_shape() {
        let check = |ports: Value, expected: &[&str]| {
            let read = Options::read(&Value::Null, &ports);
            assert_eq!(read.ports.iter().map(Port::to_string).collect::<Vec<_>>(), expected, "{ports}");
        };
        check(Value::Null, &[]);
        check(json!({"container_port": 80, "host_port": "8080"}), &["0.0.0.0:8080:80"]);
        check(json!([{"container_port": 80, "host_port": 8080}]), &["0.0.0.0:8080:80"]);
        check(json!({"8080": "8081"}), &["0.0.0.0:8081:8080"]);
        check(
            json!({"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}], "80/tcp": [{"HostPort": "80"}]}),
            &["127.0.0.1:53:53/udp", "0.0.0.0:80:80"],
        );
        for nothing in [json!({"80/tcp": [{}]}), json!({"x": 1}), json!({"80": 0}), json!({"80": 30000})] {
            let read = Options::read(&Value::Null, &nothing);
            assert!(read.ports.is_empty() && read.notes.len() == 1, "{nothing}: {read:?}");
        }
    }

    #[test]
    fn options_are_honoured_or_told() {
        let options = json!({
            "Env": ["A=1", "A=2=3", "PATH=/x", "odd"], "Image": "x:1", "Cmd": ["sh"],
            "HostConfig": {
                "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "Memory": 268_435_456, "NanoCpus": 500_000_000,
                "PidsLimit": -1, "Privileged": true, "RestartPolicy": {"Name": "always"},
            },
        });
        let read = Options::read(&options, &json!({"80": 8080}));
        assert_eq!(read.env.keys().collect::<Vec<_>>(), ["A"]);
        assert_eq!(read.env["A"].expose(), "2=3");
        assert_eq!((read.ports.len(), read.image.as_deref()), (1, Some("x:1")));
        assert_eq!((read.limits.memory_mib, read.limits.cpu_millicores), (Some(256), Some(500)));
        assert_eq!(read.limits.processes, None);
        let notes = read.notes.join("\n");
        assert!(notes.contains("not honoured: Cmd, HostConfig.Privileged"), "{notes}");
        assert!(notes.contains("`PATH`") && !notes.contains("/x") && !notes.contains("odd"), "{notes}");
    }
}

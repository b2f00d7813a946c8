//! What an older caller may say of a container, read into a spec: Docker's create options as far as they are honoured,
//! and ports in both shapes that were in use.

use std::net::IpAddr;

use domain::container::{Container, Port, Protocol};
use domain::ids::InstanceId;
use domain::names::{AccountName, InstanceName, slug};
use domain::package::Package;
use domain::secret::{Secret, Secrets};
use domain::spec::{DesiredState, InstanceSpec, Launch, Limits};
use serde_json::{Map, Value};

use super::answer::Failure;

/// The longest name that the engine's tools show whole.
const MAX_NAME: usize = 128;
/// The least memory that anything starts with, in MiB.
const LEAST_MEMORY: u64 = 16;
/// The least processor time that the engine takes, in thousandths of a core.
const LEAST_CPU: u64 = 10;
/// The account in a spec of this host's own: it is nobody's until the control plane adopts it.
const NOBODY: &str = "older";
/// Options that say what is so anyway, or only repeat what was said beside them.
const SILENT: [&str; 6] = ["ExposedPorts", "Image", "Labels", "name", "Tty", "OpenStdin"];

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Environment variables. All are treated as secrets, since some are.
    pub(crate) env: Secrets,
    /// Published ports.
    pub(crate) ports: Vec<Port>,
    /// Limits.
    pub(crate) limits: Limits,
    /// Options that were given and are not honoured.
    pub(crate) ignored: Vec<String>,
}

impl Options {
    /// Reads Docker create options at the field `at`; absent ones are empty.
    pub(crate) fn read(value: Option<&Value>, at: &str) -> Result<Self, Failure> {
        let mut options = Self::default();
        let object = match value {
            None | Some(Value::Null) => return Ok(options),
            Some(Value::Object(object)) => object,
            Some(_) => return Err(Failure::bad(at, format!("{at} must be an object"))),
        };
        for (key, value) in object {
            let at = format!("{at}.{key}");
            match key.as_str() {
                _ if value.is_null() => {}
                "Env" => options.read_env(value, &at)?,
                "HostConfig" => options.read_host(value, &at)?,
                key if SILENT.contains(&key) => {}
                _ => options.ignored.push(at),
            }
        }
        Ok(options)
    }

    fn read_env(&mut self, value: &Value, at: &str) -> Result<(), Failure> {
        let list = value.as_array().ok_or_else(|| Failure::bad(at, "Env must be a list of `NAME=VALUE`"))?;
        for entry in list {
            let pair = entry.as_str().and_then(|text| text.split_once('='));
            // The entry itself may hold a secret and is not repeated.
            let (name, value) = pair.ok_or_else(|| Failure::bad(at, "each entry of Env is `NAME=VALUE`"))?;
            self.set(name, value, at)?;
        }
        Ok(())
    }

    /// One environment variable; the last one of a name counts.
    pub(crate) fn set(&mut self, name: &str, value: &str, at: &str) -> Result<(), Failure> {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Failure::bad(
                at,
                "a variable's name has no `=`, and neither name nor value has a NUL character",
            ));
        }
        self.env.insert(name.to_owned(), Secret::new(value));
        Ok(())
    }

    fn read_host(&mut self, value: &Value, at: &str) -> Result<(), Failure> {
        let object = value.as_object().ok_or_else(|| Failure::bad(at, "HostConfig must be an object"))?;
        for (key, value) in object {
            let at = format!("{at}.{key}");
            match key.as_str() {
                // What is wanted running is started again anyway.
                "RestartPolicy" => {}
                _ if value.is_null() => {}
                "PortBindings" => self.read_ports(value, &at)?,
                "Memory" => match value.as_u64() {
                    // The engine's word for no limit.
                    Some(0) => {}
                    Some(bytes) if LEAST_MEMORY <= bytes >> 20 => self.limits.memory_mib = Some(bytes >> 20),
                    Some(_) => {
                        return Err(Failure::bad(at, format!("at least {LEAST_MEMORY} MiB are needed")));
                    }
                    None => return Err(Failure::bad(at, "Memory is a number of bytes")),
                },
                "NanoCpus" => match value.as_u64() {
                    Some(0) => {}
                    Some(nanos) if LEAST_CPU <= nanos / 1_000_000 => {
                        self.limits.cpu_millicores = Some(nanos / 1_000_000);
                    }
                    Some(_) => return Err(Failure::bad(at, "at least a hundredth of a core is needed")),
                    None => return Err(Failure::bad(at, "NanoCpus is a number")),
                },
                "PidsLimit" => match value.as_i64() {
                    Some(..=0) => {}
                    Some(limit) => self.limits.processes = u64::try_from(limit).ok(),
                    None => return Err(Failure::bad(at, "PidsLimit is a number")),
                },
                _ => self.ignored.push(at),
            }
        }
        Ok(())
    }

    /// Ports in either shape: `{"8080": "8080"}`, or Docker's `{"8080/tcp": [{"HostIp": …, "HostPort": …}]}`.
    pub(crate) fn read_ports(&mut self, value: &Value, at: &str) -> Result<(), Failure> {
        let object = value.as_object().ok_or_else(|| Failure::bad(at, "port bindings are an object"))?;
        for (key, value) in object {
            let at = format!("{at}.{key}");
            let (container, protocol) = match key.split_once('/') {
                None | Some((_, "tcp")) => (key.trim_end_matches("/tcp"), Protocol::Tcp),
                Some((container, "udp")) => (container, Protocol::Udp),
                Some(_) => return Err(Failure::bad(at, "a port is `8080`, `8080/tcp` or `8080/udp`")),
            };
            let container = number(container, &at)?;
            let bindings = match value {
                Value::Array(bindings) => bindings.iter().collect(),
                other => vec![other],
            };
            for binding in bindings {
                let (host, address) = match binding {
                    Value::Object(binding) => (binding.get("HostPort"), binding.get("HostIp")),
                    other => (Some(other), None),
                };
                let host = match host {
                    Some(Value::String(text)) => number(text, &at)?,
                    Some(Value::Number(given)) => number(&given.to_string(), &at)?,
                    _ => return Err(no_port(&at)),
                };
                let address = match address.and_then(Value::as_str) {
                    // What the engine does: every address of the host.
                    None | Some("") => IpAddr::from([0, 0, 0, 0]),
                    Some(text) => text
                        .parse()
                        .map_err(|_| Failure::bad(at.as_str(), format!("`{text}` is no IP address")))?,
                };
                self.ports.push(Port { container, host, address: Some(address), protocol });
            }
        }
        Ok(())
    }
}

fn number(text: &str, at: &str) -> Result<u16, Failure> {
    match text.parse::<u16>() {
        Ok(port) if 0 < port => Ok(port),
        Ok(_) => Err(no_port(at)),
        Err(_) if text.is_empty() => Err(no_port(at)),
        Err(_) => Err(Failure::bad(at, format!("`{text}` is no port: a number from 1 to 65535"))),
    }
}

fn no_port(at: &str) -> Failure {
    Failure::bad(at, "a binding names its port of the host: none is chosen here")
}

/// Checks a name as an older caller gives it: the engine's rule for containers.
pub(crate) fn check_name(name: &str, at: &str) -> Result<(), Failure> {
    let shaped = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !shaped {
        let near: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "_.".contains(c) { c } else { '-' })
            .collect();
        let near = near.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let such = if near.is_empty() { "tool" } else { near };
        return Err(Failure::bad(
            at,
            format!(
                "`{name}` is not a name: letters, digits, `_`, `.` and `-`, a letter or digit first, such as `{such}`"
            ),
        ));
    }
    if MAX_NAME < name.len() {
        return Err(Failure::bad(at, format!("a name has at most {MAX_NAME} characters")));
    }
    Ok(())
}

/// What an older caller deploys.
pub(crate) struct Wanted<'a> {
    pub(crate) id: &'a str,
    pub(crate) id_field: &'a str,
    pub(crate) name: &'a str,
    pub(crate) name_field: &'a str,
    pub(crate) image: &'a str,
    pub(crate) image_field: &'a str,
    pub(crate) options: Options,
    /// How it is started; absent: as a container tool.
    pub(crate) launch: Option<Launch>,
}

impl Wanted<'_> {
    /// The spec, and the options that it does not honour.
    pub(crate) fn spec(self) -> Result<(InstanceSpec, Vec<String>), Failure> {
        check_name(self.name, self.name_field)?;
        let id: InstanceId = self
            .id
            .parse()
            .map_err(|_| Failure::bad(self.id_field, format!("`{}` is not a UUID", self.id)))?;
        let package: Package = format!("oci:{}", self.image)
            .parse()
            .map_err(|error| Failure::bad(self.image_field, format!("{error}")))?;
        let Options { env, ports, limits, ignored } = self.options;
        let launch = self.launch.unwrap_or_else(|| Launch {
            container: Some(Container { ports, ..Container::default() }),
            ..Launch::default()
        });
        let spec = InstanceSpec {
            id,
            account: account()?,
            name: name_of(self.name)?,
            generation: 0,
            desired: DesiredState::Running,
            restarts_asked: 0,
            package,
            launch,
            env: std::collections::BTreeMap::new(),
            secrets: env,
            registry: None,
            limits,
            lease_seconds: None,
            key: key()?,
        };
        Ok((spec, ignored))
    }
}

fn account() -> Result<AccountName, Failure> {
    NOBODY.parse().map_err(|error| internal(&error))
}

fn name_of(name: &str) -> Result<InstanceName, Failure> {
    slug(name).parse().map_err(|error| internal(&error))
}

/// The key to its shim, until the control plane gives its own.
fn key() -> Result<Secret, Failure> {
    use std::fmt::Write as _;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| internal(&error))?;
    let mut text = String::with_capacity(64);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Secret::new(text))
}

fn internal(error: &dyn std::error::Error) -> Failure {
    tracing::error!(error = crate::instance::chain(error), "a request failed");
    Failure::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "this host could not do it; the DTMA's log has the reason",
    )
}

/// A field that is an object of texts, such as environment variables.
pub(crate) fn texts_of(value: Option<&Value>, at: &str) -> Result<Vec<(String, String)>, Failure> {
    let empty = Map::new();
    let object = match value {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(object)) => object,
        Some(_) => return Err(Failure::bad(at, format!("{at} must be an object of texts"))),
    };
    object
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
            _ => Err(Failure::bad(format!("{at}.{name}"), "a value is a text")),
        })
        .collect()
}

//! What older callers say of a container beside its image: Docker's create options, or variables and limits by names of their own.
//! What is not honoured is named, so that nobody takes it for done.

use std::collections::BTreeMap;

use domain::spec::Limits;
use serde_json::{Map, Value};

use crate::app::{Outcome, Problem};

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;
/// What says what is so anyway.
const SILENT: [&str; 5] = ["ExposedPorts", "Labels", "Tty", "OpenStdin", "name"];

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) image: Option<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    /// What was given and is not honoured.
    pub(crate) ignored: Vec<String>,
}

impl Config {
    /// Reads `baseConfigOverrideJson`.
    ///
    /// # Errors
    /// 422 with field.
    pub(crate) fn read(object: Option<Map<String, Value>>) -> Outcome<Self> {
        let mut config = Self::default();
        for (key, value) in object.unwrap_or_default() {
            let at = format!("baseConfigOverrideJson.{key}");
            match (key.as_str(), value) {
                (_, Value::Null) => {}
                ("dockerImage" | "Image", Value::String(image)) => config.image = Some(image),
                ("environmentVariables", Value::Object(variables)) => config.set(variables, &at)?,
                ("Env", Value::Array(pairs)) => config.pairs(&pairs, &at)?,
                ("HostConfig", Value::Object(host)) => config.host(host, &at)?,
                ("dockerImage" | "Image" | "environmentVariables" | "Env" | "HostConfig", _) => {
                    return Err(Problem::invalid(at, format!("`{key}` is of another type")));
                }
                (key, _) if SILENT.contains(&key) => {}
                _ => config.ignored.push(at),
            }
        }
        Ok(config)
    }

    /// Variables, by name.
    ///
    /// # Errors
    /// 422 for a value that is no text.
    pub(crate) fn set(&mut self, variables: Map<String, Value>, at: &str) -> Outcome<()> {
        for (name, value) in variables {
            let text = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(is) => is.to_string(),
                Value::Null => continue,
                Value::Array(_) | Value::Object(_) => {
                    return Err(Problem::invalid(format!("{at}.{name}"), "a variable's value is a text"));
                }
            };
            self.variables.insert(name, text);
        }
        Ok(())
    }

    fn pairs(&mut self, pairs: &[Value], at: &str) -> Outcome<()> {
        for pair in pairs {
            // It may hold a secret and is not repeated.
            let (name, value) = pair
                .as_str()
                .and_then(|text| text.split_once('='))
                .ok_or_else(|| Problem::invalid(at, "each entry of `Env` is `NAME=VALUE`"))?;
            self.variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn host(&mut self, host: Map<String, Value>, at: &str) -> Outcome<()> {
        for (key, value) in host {
            let at = format!("{at}.{key}");
            let number =
                || value.as_u64().ok_or_else(|| Problem::invalid(at.clone(), format!("`{key}` is a number")));
            match key.as_str() {
                "RestartPolicy" => {}
                _ if value.is_null() => {}
                // 0 is the engine's word for no limit.
                "Memory" => self.limits.memory_mib = Some(number()? / MIB).filter(|mib| 0 < *mib),
                "NanoCpus" => self.limits.cpu_millicores = Some(number()? / 1_000_000).filter(|it| 0 < *it),
                "PidsLimit" => self.limits.processes = value.as_u64().filter(|limit| 0 < *limit),
                _ => self.ignored.push(at),
            }
        }
        Ok(())
    }
}

/// `512m`, `2g`, `256Mi` or a number of bytes, in MiB.
///
/// # Errors
/// 422 at `at`.
pub(crate) fn memory_mib(text: &str, at: &str) -> Outcome<u64> {
    let wrong = || {
        Problem::invalid(at, format!("`{text}` is no amount of memory")).hint("write it as `512m` or `2g`")
    };
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => return Ok(number / MIB),
        "k" | "kb" | "ki" => return Ok(number / 1024),
        "m" | "mb" | "mi" => 1,
        "g" | "gb" | "gi" => 1024,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::memory_mib;

    #[test]
    fn amounts_of_memory() {
        for (text, expected) in [
            ("512m", Some(512)),
            ("2g", Some(2048)),
            ("256Mi", Some(256)),
            ("1GB", Some(1024)),
            ("536870912", Some(512)),
            ("2048k", Some(2)),
            ("m", None),
            ("", None),
            ("2t", None),
            ("-1m", None),
            ("99999999999999999g", None),
        ] {
            assert_eq!(memory_mib(text, "memory").ok(), expected, "{text}");
        }
    }
}

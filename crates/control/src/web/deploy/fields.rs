//! The form of a deployment as it was sent, and the request that it makes.

use std::collections::BTreeMap;

use api::catalog::{CatalogEntry, Transport};
use api::instances::DeployRequest;
use domain::container::Profile;
use domain::egress::Egress;
use domain::lease::Failover;
use domain::secret::{Secret, Secrets};
use domain::spec::Limits;
use serde::Deserialize;
use serde_json::json;

use crate::app::Problem;

/// Before the name of a setting, of a secret that is typed, and of one that is chosen.
pub(super) const SET: &str = "set.";
pub(super) const SECRET: &str = "secret.";
pub(super) const VAULT: &str = "vault.";

/// Names and values in the order of the page, a name as often as the page has it. What was typed may be a secret, so nothing here shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(Vec<(String, Secret)>);

impl Fields {
    /// A field with one value, without spaces around it; empty when there is none.
    pub(super) fn one(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default().trim()
    }

    /// The values of a field that the page has several times.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| value.expose())
    }

    /// The lines of a field that are not empty.
    fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.one(name).lines().map(str::trim);
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Whether a box is ticked.
    pub(super) fn is(&self, name: &str) -> bool {
        !self.one(name).is_empty()
    }

    /// With a value for a field that has none, as a link to the page gives it.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() && self.one(name).is_empty() {
            self.0.push((name.to_owned(), Secret::new(value)));
        }
        self
    }

    /// The rows of secrets that the page of a custom server has: name, value, name in the account.
    pub(super) fn rows(&self) -> Vec<(&str, &str, &str)> {
        let (values, vault): (Vec<&str>, Vec<&str>) =
            (self.all("value").collect(), self.all("vault").collect());
        let at = |list: &[&'_ str], i: usize| list.get(i).map(|text| text.len()).unwrap_or_default();
        let keys: Vec<&str> = self.all("key").map(str::trim).collect();
        let rows = keys.into_iter().enumerate().map(|(i, key)| {
            let value = if 0 < at(&values, i) { values[i] } else { "" };
            let vault = if 0 < at(&vault, i) { vault[i] } else { "" };
            (key, value, vault)
        });
        rows.collect()
    }

    /// The secrets that were typed, by the names under which they are given.
    pub(super) fn typed_secrets(&self) -> Secrets {
        let of_entry =
            self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(SECRET)?, value.expose())));
        let of_rows = self.rows().into_iter().map(|(key, value, _)| (key, value));
        let all = of_entry.chain(of_rows).filter(|(key, value)| !key.is_empty() && !value.is_empty());
        // Browsers send the ends of lines as CRLF.
        all.map(|(key, value)| (key.to_owned(), Secret::new(value.replace("\r\n", "\n")))).collect()
    }

    fn vault(&self) -> impl Iterator<Item = (&str, &str)> {
        let of_entry =
            self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(VAULT)?, value.expose())));
        let of_rows = self.rows().into_iter().map(|(key, _, vault)| (key, vault));
        of_entry.chain(of_rows).filter(|(key, name)| !key.is_empty() && !name.is_empty())
    }

    /// The request that was meant. `kept` are secrets that were typed before.
    ///
    /// # Errors
    /// 422 with the field of the request that cannot be.
    pub(super) fn request(
        &self,
        entry: Option<&CatalogEntry>,
        kept: &Secrets,
    ) -> Result<DeployRequest, Problem> {
        let mut request = DeployRequest {
            server: match entry {
                Some(entry) => entry.name.clone(),
                None => self.server()?,
            },
            name: self.text("name"),
            environment: self.text("environment"),
            version: self.text("version"),
            settings: self.settings(entry)?,
            args: self.lines("args"),
            constraints: self.lines("constraints"),
            transport: self.word::<Transport>("transport")?,
            path: self.text("path"),
            port: self.number("port", "port")?,
            mode: match self.one("mode") {
                "" => None,
                "pool" => Some(format!("pool({})", self.text("pool").unwrap_or_else(|| "4".to_owned()))),
                mode => Some(mode.to_owned()),
            },
            strict_sessions: self.is("strict_sessions").then_some(true),
            sleep_after_seconds: self.number("sleep_after_seconds", "sleep_after_seconds")?,
            profile: self.word::<Profile>("profile")?,
            egress: self.egress()?,
            limits: Limits {
                memory_mib: self.number("memory_mib", "limits.memory_mib")?,
                cpu_millicores: self.number("cpu_millicores", "limits.cpu_millicores")?,
                processes: self.number("processes", "limits.processes")?,
                open_files: self.number("open_files", "limits.open_files")?,
                startup_seconds: self.number("startup_seconds", "limits.startup_seconds")?,
            },
            failover: self.failover()?,
            ..DeployRequest::default()
        };
        for (key, name) in self.vault() {
            let name = name.parse().map_err(|error| Problem::invalid(format!("secrets.{key}"), error))?;
            request.secrets.named.insert(key.to_owned(), name);
        }
        let typed = self.typed_secrets();
        for (key, value) in kept.iter().chain(&typed) {
            // What is chosen now counts more than what was typed before.
            if !request.secrets.named.contains_key(key) || typed.contains_key(key) {
                request.secrets.values.insert(key.clone(), value.clone());
            }
        }
        if let Some(key) = typed.keys().find(|key| request.secrets.named.contains_key(*key)) {
            return Err(Problem::invalid(
                format!("secrets.{key}"),
                format!("`{key}` is typed and chosen: do one of the two"),
            ));
        }
        Ok(request)
    }

    /// What a custom server is, in the one word that the API takes.
    fn server(&self) -> Result<String, Problem> {
        let what = self.one("what");
        if what.is_empty() {
            return Err(Problem::invalid(
                "server",
                "say what is to run, such as `@scope/server` or `https://mcp.example.com/mcp`",
            ));
        }
        let kind = self.one("kind");
        let known = ["npm:", "pypi:", "oci:"].iter().any(|prefix| what.starts_with(prefix));
        Ok(match kind {
            "npm" | "pypi" | "oci" if !known => format!("{kind}:{what}"),
            "remote" if !what.contains("://") => format!("https://{what}"),
            _ => what.to_owned(),
        })
    }

    fn settings(&self, entry: Option<&CatalogEntry>) -> Result<BTreeMap<String, String>, Problem> {
        if entry.is_some() {
            let given =
                self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(SET)?, value.expose())));
            let given = given.filter(|(_, value)| !value.is_empty());
            return Ok(given.map(|(name, value)| (name.to_owned(), value.replace("\r\n", "\n"))).collect());
        }
        let mut settings = BTreeMap::new();
        for line in self.lines("settings") {
            let Some((name, value)) = line.split_once('=') else {
                let problem = Problem::invalid("settings", format!("`{line}` is no setting"));
                return Err(problem.hint("write one on each line, as `NAME=value`"));
            };
            settings.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(settings)
    }

    fn egress(&self) -> Result<Option<Egress>, Problem> {
        let egress = match self.one("egress") {
            "" => return Ok(None),
            "list" => json!({ "egress": "allow-list", "hosts": self.lines("hosts") }),
            word => json!({ "egress": word }),
        };
        serde_json::from_value(egress).map(Some).map_err(|error| Problem::invalid("egress.hosts", error))
    }

    fn failover(&self) -> Result<Option<Failover>, Problem> {
        if !self.is("failover") {
            return Ok(None);
        }
        serde_json::from_value(json!({})).map(Some).map_err(|error| Problem::invalid("failover", error))
    }

    fn text(&self, name: &str) -> Option<String> {
        Some(self.one(name).to_owned()).filter(|text| !text.is_empty())
    }

    fn number<T: std::str::FromStr>(&self, name: &str, field: &str) -> Result<Option<T>, Problem> {
        let text = self.one(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| Problem::invalid(field, "it is a whole number, or nothing for what is usual"))
    }

    fn word<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Problem> {
        match self.one(name) {
            "" => Ok(None),
            text => serde_json::from_value(json!(text))
                .map(Some)
                .map_err(|_| Problem::invalid(name, format!("`{text}` is none of its choices"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        serde_urlencoded::from_str(text).expect("a form")
    }

    #[track_caller]
    fn check(text: &str, expected: &serde_json::Value) {
        let made = fields(text).request(None, &Secrets::default());
        let mut made = match made {
            Ok(made) => serde_json::to_value(made).expect("JSON"),
            Err(Problem::Refused(detail)) => json!(detail.field),
            Err(problem) => panic!("{problem}"),
        };
        if let Some(made) = made.as_object_mut() {
            made.retain(|_, value| !value.is_null() && *value != json!({}) && *value != json!([]));
        }
        assert_eq!(made, *expected, "{text}");
    }

    #[test]
    fn what_a_form_means() {
        check("kind=npm&what=+@a/b+&name=&egress=", &json!({ "server": "npm:@a/b" }));
        check("kind=npm&what=pypi:x", &json!({ "server": "pypi:x" }));
        check("kind=remote&what=mcp.example.com/mcp", &json!({ "server": "https://mcp.example.com/mcp" }));
        check("kind=npm&what=", &json!("server"));
        check(
            "kind=oci&what=x&settings=A%3D1%0D%0A%0D%0AB%3D+x%3Dy&args=-v%0D%0A--x%3D1&memory_mib=64",
            &json!({ "server": "oci:x", "settings": { "A": "1", "B": "x=y" }, "args": ["-v", "--x=1"], "limits": { "memory_mib": 64 } }),
        );
        check("kind=npm&what=x&settings=A", &json!("settings"));
        check("kind=npm&what=x&memory_mib=much", &json!("limits.memory_mib"));
        check("kind=npm&what=x&mode=pool&pool=3", &json!({ "server": "npm:x", "mode": "pool(3)" }));
        check("kind=npm&what=x&egress=none", &json!({ "server": "npm:x", "egress": { "egress": "none" } }));
        check("kind=npm&what=x&egress=list&hosts=a+b", &json!("egress.hosts"));
        check("kind=npm&what=x&profile=root", &json!("profile"));
        check("kind=npm&what=x&key=A&value=&vault=not+a+name", &json!("secrets.A"));
        check("kind=npm&what=x&key=A&value=1&vault=B", &json!("secrets.A"));
    }

    #[test]
    fn secrets_are_kept_and_never_shown() {
        let kept =
            Secrets::from([("A".to_owned(), Secret::new("old")), ("B".to_owned(), Secret::new("kept"))]);
        let form =
            fields("kind=npm&what=x&key=A&key=C&key=&value=new&value=&value=&vault=&vault=VAULT&vault=");
        let request = form.request(None, &kept).expect("a request");
        assert_eq!(request.secrets.values["A"].expose(), "new");
        assert_eq!(request.secrets.values["B"].expose(), "kept");
        assert_eq!(request.secrets.named["C"].as_str(), "VAULT");
        assert!(!format!("{form:?}").contains("new"));
    }
}

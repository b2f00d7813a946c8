//! The provider's official document: `OpenAPI` 3.0, whose schemas are made JSON Schema here.
//!
//! It lies beside the repository, which does not hold it, or where `BERTH_DIGITALOCEAN_OPENAPI` says. Where it is missing the
//! tests say so and pass, but never on CI.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use testkit::digitalocean::Exchange;

/// More references inside each other than the document has: a schema that holds itself is not known here.
const DEEPEST: usize = 64;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The document, as it is.
pub(crate) struct Document(Value);

impl Document {
    /// Reads it; `None` where it is missing.
    pub(crate) fn read() -> Option<Self> {
        let beside =
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/digitalocean-openapi.yaml");
        let path = std::env::var_os("BERTH_DIGITALOCEAN_OPENAPI").map_or_else(beside, PathBuf::from);
        if !path.is_file() {
            assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
            eprintln!("NOT TESTED: DigitalOcean's official document is missing: {}", path.display());
            return None;
        }
        let text = std::fs::read_to_string(path).unwrap();
        Some(Self(serde_saphyr::from_str(&text).expect("the document is YAML")))
    }

    /// Holds an exchange against the document; the path's template.
    pub(crate) fn check(&self, exchange: &Exchange) -> Result<String, String> {
        let (template, operation) = self.operation(&exchange.method, &exchange.path)?;
        self.check_parameters(template, operation, exchange)?;
        let wanted = self.follow(&operation["requestBody"]);
        let schema = &wanted["content"]["application/json"]["schema"];
        match (&exchange.request, schema) {
            (None, Value::Null) => {}
            (Some(_), Value::Null) => return Err("the request has a body, and the document none".to_owned()),
            (None, _) => return Err("the request has no body".to_owned()),
            (Some(body), schema) => self.validate(schema, body, "request")?,
        }
        let responses = &operation["responses"];
        let own = &responses[exchange.status.to_string()];
        // Only refusals may be of a kind that the document does not name.
        let response = match own {
            Value::Null if 400 <= exchange.status => &responses["default"],
            Value::Null => return Err("the document has no such status".to_owned()),
            own => own,
        };
        let schema = &self.follow(response)["content"]["application/json"]["schema"];
        match (&exchange.answer, schema) {
            (None, Value::Null) => Ok(template.to_owned()),
            (Some(body), schema) if !schema.is_null() => {
                self.validate(schema, body, "answer").map(|()| template.to_owned())
            }
            (body, _) => Err(format!("the answer has the body {body:?}, and the document says otherwise")),
        }
    }

    /// The examples of good answers, with their status.
    pub(crate) fn examples(&self, method: &str, template: &str) -> Vec<(u16, Value)> {
        let operation = &self.0["paths"][template][method.to_lowercase()];
        let mut all = vec![];
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let Some(status) = status.parse().ok().filter(|status| *status < 300) else { continue };
            let content = &self.follow(response)["content"]["application/json"];
            all.extend(content.get("example").map(|example| (status, example.clone())));
            for example in content["examples"].as_object().into_iter().flat_map(Map::values) {
                all.push((status, self.follow(example)["value"].clone()));
            }
        }
        all
    }

    /// The operation of a path; of several templates that fit, the one that says most.
    fn operation(&self, method: &str, path: &str) -> Result<(&str, &Value), String> {
        let method = method.to_lowercase();
        assert!(METHODS.contains(&method.as_str()));
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let same = parts.len() == segments.len()
                && parts
                    .iter()
                    .zip(&segments)
                    .all(|(part, segment)| part.starts_with('{') || part == segment);
            same.then(|| parts.iter().filter(|part| !part.starts_with('{')).count())
        };
        let paths = self.0["paths"].as_object().expect("the document's paths");
        paths
            .iter()
            .filter(|(_, item)| item.get(&method).is_some())
            .filter_map(|(template, item)| fits(template).map(|said| (said, template, &item[&method])))
            .max_by_key(|(said, ..)| *said)
            .map(|(_, template, operation)| (template.as_str(), operation))
            .ok_or_else(|| "the document has no such path".to_owned())
    }

    fn check_parameters(&self, template: &str, operation: &Value, exchange: &Exchange) -> Result<(), String> {
        let of_path = &self.0["paths"][template]["parameters"];
        let known: Vec<&Value> = [&operation["parameters"], of_path]
            .into_iter()
            .filter_map(Value::as_array)
            .flatten()
            .map(|parameter| self.follow(parameter))
            .collect();
        let find = |place: &str, name: &str| known.iter().find(|p| p["in"] == place && p["name"] == name);
        let parts = template.split('/').zip(exchange.path.split('/'));
        let in_path = parts.filter_map(|(part, value)| {
            Some(("path", part.strip_prefix('{')?.strip_suffix('}')?.to_owned(), value.to_owned()))
        });
        let in_query = exchange.query.iter().map(|(name, value)| ("query", name.clone(), value.clone()));
        for (place, name, value) in in_path.chain(in_query) {
            let Some(parameter) = find(place, &name) else {
                return Err(format!("the {place} has `{name}`, which the document does not know"));
            };
            // What stands in an address is a text; it is read as what the schema takes.
            let read = serde_json::from_str(&value).ok().filter(|v: &Value| v.is_number() || v.is_boolean());
            let text = Value::from(value);
            let schema = &parameter["schema"];
            let good = self.validate(schema, &text, &name).is_ok()
                || read.is_some_and(|read| self.validate(schema, &read, &name).is_ok());
            if !good {
                return Err(format!("`{name}` of the {place} is {text}"));
            }
        }
        Ok(())
    }

    fn validate(&self, schema: &Value, instance: &Value, what: &str) -> Result<(), String> {
        let schema = self.json_schema(schema, 0);
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft4)
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| format!("the schema of the {what}: {error}"))?;
        let wrong: Vec<String> = validator
            .iter_errors(instance)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if !wrong.is_empty() {
            return Err(format!("{what}: {}\n{instance:#}", wrong.join("\n")));
        }
        // A schema takes members that it does not know. A misspelt one is then one that nobody reads.
        let known = members(&schema);
        let unknown: Vec<&String> = instance
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !known.contains(name))
            .collect();
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(format!("{what}: the document does not know {unknown:?}"))
        }
    }

    /// What a reference leads to; anything else is itself.
    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a reference within the document");
                self.follow(self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => value,
        }
    }

    /// The schema without references, `nullable` said as JSON Schema says it.
    fn json_schema(&self, schema: &Value, depth: usize) -> Value {
        assert!(depth < DEEPEST, "a schema that holds itself");
        match self.follow(schema) {
            Value::Object(members) => {
                let mut plain: Map<String, Value> = members
                    .iter()
                    .filter(|(name, value)| {
                        // An example may look like a schema; a property may have that name.
                        !matches!(name.as_str(), "example" | "examples") || value.get("type").is_some()
                    })
                    .map(|(name, value)| (name.clone(), self.json_schema(value, depth + 1)))
                    .collect();
                if plain.get("nullable") == Some(&Value::Bool(true)) {
                    if let Some(Value::String(kind)) = plain.get("type") {
                        plain.insert("type".to_owned(), json!([kind, "null"]));
                    }
                    if let Some(Value::Array(words)) = plain.get_mut("enum") {
                        words.push(Value::Null);
                    }
                }
                Value::Object(plain)
            }
            Value::Array(all) => all.iter().map(|each| self.json_schema(each, depth + 1)).collect(),
            other => other.clone(),
        }
    }
}

/// The members that a schema knows, whichever of its parts does.
fn members(schema: &Value) -> Vec<String> {
    let mut known: Vec<String> =
        schema["properties"].as_object().into_iter().flat_map(Map::keys).cloned().collect();
    for word in ["allOf", "oneOf", "anyOf"] {
        known.extend(schema[word].as_array().into_iter().flatten().flat_map(members));
    }
    known
}

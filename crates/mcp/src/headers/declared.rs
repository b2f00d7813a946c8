//! What a tool's schema declares to be repeated in headers, and whether it may (2026-07-28, Streamable HTTP, "Schema
//! Extension"). Only schemas that hold the mark at all come here, so they are parsed as a whole.

use serde::Deserialize;
use serde_json::Value;

use super::{MARK, PARAM_PREFIX, Repeated, ValueKind};

#[derive(Deserialize)]
struct Tool {
    #[serde(rename = "inputSchema", default)]
    input_schema: Value,
}

/// The arguments that a tool, as JSON, declares; else why its declarations are not valid, in words.
pub(super) fn of(tool: &str) -> Result<Vec<Repeated>, String> {
    let tool: Tool =
        serde_json::from_str(tool).map_err(|error| format!("its definition cannot be read: {error}"))?;
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.schema(&tool.input_schema, Place::Root)?;
    Ok(walk.found)
}

/// Where a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// Reached from the root through `properties` alone.
    Property,
    /// Anywhere else: what it describes has no fixed path.
    Elsewhere,
}

struct Walk {
    path: Vec<Box<str>>,
    found: Vec<Repeated>,
}

impl Walk {
    fn schema(&mut self, schema: &Value, place: Place) -> Result<(), String> {
        match schema {
            Value::Object(members) => {
                for (key, value) in members {
                    match key.as_str() {
                        MARK if place == Place::Property => self.declare(value, members.get("type"))?,
                        MARK => {
                            return Err(format!(
                                "`{MARK}` stands where `properties` alone do not lead to it"
                            ));
                        }
                        "properties" if place == Place::Elsewhere => self.each(value)?,
                        "properties" => self.properties(value)?,
                        "$defs" | "definitions" | "dependencies" | "dependentSchemas"
                        | "patternProperties" => self.each(value)?,
                        // Data, not schemas.
                        "const" | "default" | "dependentRequired" | "enum" | "examples" => {}
                        _ => self.schema(value, Place::Elsewhere)?,
                    }
                }
            }
            Value::Array(schemas) => {
                for schema in schemas {
                    self.schema(schema, Place::Elsewhere)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn properties(&mut self, properties: &Value) -> Result<(), String> {
        for (name, schema) in properties.as_object().into_iter().flatten() {
            self.path.push(name.as_str().into());
            self.schema(schema, Place::Property)?;
            self.path.pop();
        }
        Ok(())
    }

    /// The schemas of a map whose keys are names, which may be called like a keyword.
    fn each(&mut self, map: &Value) -> Result<(), String> {
        for schema in map.as_object().into_iter().flatten().map(|(_, schema)| schema) {
            self.schema(schema, Place::Elsewhere)?;
        }
        Ok(())
    }

    fn declare(&mut self, name: &Value, kind: Option<&Value>) -> Result<(), String> {
        let path = self.path.join(".");
        let name = name.as_str().filter(|name| is_token(name)).ok_or_else(|| {
            format!("the `{MARK}` of `{path}` is no name of a header: letters, digits and !#$%&'*+-.^_`|~")
        })?;
        let kind = match kind.and_then(Value::as_str) {
            Some("string") => ValueKind::String,
            Some("integer") => ValueKind::Integer,
            Some("boolean") => ValueKind::Boolean,
            _ => {
                return Err(format!(
                    "`{path}` has `{MARK}` and is neither a string, an integer nor a boolean"
                ));
            }
        };
        let header = format!("{PARAM_PREFIX}{}", name.to_ascii_lowercase());
        if self.found.iter().any(|found| *found.header == *header) {
            return Err(format!("the `{MARK}` of `{path}` names the header `{name}` a second time"));
        }
        self.found.push(Repeated { header: header.into(), path: self.path.as_slice().into(), kind });
        Ok(())
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

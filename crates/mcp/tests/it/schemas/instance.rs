//! Instances of a JSON Schema, of what the official ones use: `$ref`, `required`, `const`, `enum`, `anyOf`, `oneOf`,
//! `allOf`, `items` and `additionalProperties`. Not a validator.

use serde_json::{Map, Value, json};

/// Definitions refer to themselves; below this depth only what is required is made.
const DEEP: usize = 8;
/// Below this one there is no instance, so what leads here must be left out.
const DEEPEST: usize = 16;

/// How much of a definition an instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// What is required.
    Required,
    /// Every property.
    All,
}

/// A schema and its definitions.
pub(super) struct Schema {
    definitions: Map<String, Value>,
}

impl Schema {
    pub(super) fn new(mut schema: Value) -> Self {
        let definitions = ["definitions", "$defs"].iter().find_map(|key| match schema[*key].take() {
            Value::Object(definitions) => Some(definitions),
            _ => None,
        });
        Self { definitions: definitions.expect("a schema has definitions") }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.definitions.keys().map(String::as_str)
    }

    /// An instance of a definition; one for each of its alternatives.
    pub(super) fn instances(&self, name: &str, extent: Extent) -> Vec<Value> {
        self.alternatives(&self.definitions[name], extent, 0)
    }

    fn alternatives(&self, schema: &Value, extent: Extent, depth: usize) -> Vec<Value> {
        assert!(depth < DEEPEST, "an instance without end: {schema}");
        let extent = if DEEP < depth { Extent::Required } else { extent };
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            return self.alternatives(&self.definitions[name], extent, depth + 1);
        }
        if let Some(any) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            return any.iter().flat_map(|schema| self.alternatives(schema, extent, depth + 1)).collect();
        }
        vec![self.one(schema, extent, depth)]
    }

    /// The first alternative is enough within a message: the others have definitions of their own.
    fn first(&self, schema: &Value, extent: Extent, depth: usize) -> Value {
        self.alternatives(schema, extent, depth + 1).swap_remove(0)
    }

    fn one(&self, schema: &Value, extent: Extent, depth: usize) -> Value {
        if let Some(parts) = schema["allOf"].as_array() {
            let mut whole = Map::new();
            for part in parts {
                if let Value::Object(part) = self.first(part, extent, depth) {
                    whole.extend(part);
                }
            }
            return Value::Object(whole);
        }
        if !schema["const"].is_null() {
            return schema["const"].clone();
        }
        if let Some(values) = schema["enum"].as_array() {
            return values[0].clone();
        }
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind {
            Some("string") => json!("é\u{2028}😀 \"\\\n"),
            Some("integer") => json!(9_007_199_254_740_993_u64),
            Some("number") => json!(0.1),
            Some("boolean") => json!(true),
            Some("null") => Value::Null,
            Some("array") if extent == Extent::All && depth < DEEP => {
                json!([self.first(&schema["items"], extent, depth)])
            }
            Some("array") => json!([]),
            Some("object") => self.object(schema, extent, depth),
            _ if schema.get("properties").is_some() => self.object(schema, extent, depth),
            Some(other) => panic!("a type that no schema had: {other}"),
            // Anything at all.
            None => json!({"anything": [null, -0.0, "\u{0}"]}),
        }
    }

    fn object(&self, schema: &Value, extent: Extent, depth: usize) -> Value {
        let mut object = Map::new();
        let is_required =
            |name: &str| schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if is_required(name) || (extent == Extent::All && depth < DEEP) {
                object.insert(name.clone(), self.first(property, extent, depth));
            }
        }
        let additional = &schema["additionalProperties"];
        if extent == Extent::All && depth < DEEP && additional.is_object() {
            for name in ["x/odd \"key\"", "x-é"] {
                object.insert(name.to_owned(), self.first(additional, extent, depth));
            }
        }
        Value::Object(object)
    }
}

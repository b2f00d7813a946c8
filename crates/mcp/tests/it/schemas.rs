//! Messages of every official schema survive: one with all that a definition requires, one with all that it allows.
//!
//! The schemas lie beside the repository, which holds none of them, or where `BERTH_MCP_SCHEMAS` says. Where they are
//! missing the test says so and passes, but never on CI.

mod instance;

use std::path::{Path, PathBuf};

use mcp::envelope::{self, EnvelopeError, Kind};
use mcp::revision::Revision;
use serde_json::{Value, json};

use crate::invariants;
use instance::{Extent, Schema};

/// The fewest messages that a revision's schema gives: fewer mean that the schema is read wrongly.
const FEWEST: usize = 150;

/// The directory that has `<revision>/schema.json`, and whether it is there.
fn schemas() -> Result<PathBuf, PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mcp-schema");
    let dir = std::env::var_os("BERTH_MCP_SCHEMAS").map_or_else(beside, PathBuf::from);
    if dir.is_dir() { Ok(dir) } else { Err(dir) }
}

#[test]
fn messages_of_every_schema_survive() {
    let dir = match schemas() {
        Ok(dir) => dir,
        Err(dir) => {
            assert!(std::env::var_os("CI").is_none(), "{} is missing", dir.display());
            eprintln!("NOT TESTED: the official schemas are missing: {}", dir.display());
            return;
        }
    };
    for revision in Revision::ALL {
        let text = std::fs::read_to_string(dir.join(revision.text()).join("schema.json")).unwrap();
        let schema = Schema::new(serde_json::from_str(&text).unwrap());
        let mut seen = 0;
        for name in schema.names() {
            for extent in [Extent::Required, Extent::All] {
                if name.starts_with("JSONRPCBatch") {
                    schema.instances(name, extent).iter().for_each(check_batch);
                    continue;
                }
                for (instance, kind) in messages(&schema, name, extent) {
                    check(&instance, kind, &format!("{name} of {}", revision.text()));
                    seen += 1;
                }
            }
        }
        assert!(FEWEST <= seen, "only {seen} messages of {}", revision.text());
    }
}

/// The messages of a definition, by its name: itself, or what it is a part of.
fn messages(schema: &Schema, name: &str, extent: Extent) -> Vec<(Value, Kind)> {
    let kind = if name.ends_with("Request") {
        Kind::Request
    } else if name.ends_with("Notification") {
        Kind::Notification
    } else if name.ends_with("Result") || name.ends_with("Response") || name.ends_with("Error") {
        Kind::Answer
    } else {
        return Vec::new();
    };
    let whole = |instance: Value| {
        let is_object = instance.is_object();
        match kind {
            Kind::Answer if instance.get("result").is_none() && instance.get("error").is_none() => {
                // `Error` and its like are the member `error`, the results the member `result`.
                let member = if name.ends_with("Error") { "error" } else { "result" };
                json!({"jsonrpc": "2.0", "id": 1, member: instance})
            }
            _ if is_object => {
                let mut instance = instance;
                instance["jsonrpc"] = json!("2.0");
                // Until 2025-06-18 a definition leaves the id to the envelope; an error may have none.
                if kind == Kind::Request && instance.get("id").is_none() {
                    instance["id"] = json!("id");
                }
                instance
            }
            _ => panic!("{name} is no object: {instance}"),
        }
    };
    schema.instances(name, extent).into_iter().map(|instance| (whole(instance), kind)).collect()
}

#[track_caller]
fn check(message: &Value, kind: Kind, what: &str) {
    let compact = message.to_string();
    let pretty = serde_json::to_string_pretty(message).unwrap();
    for text in [&compact, &pretty] {
        let scanned =
            envelope::scan(text.as_bytes()).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
        assert_eq!(scanned.kind(), kind, "{what}: {text}");
        invariants::envelope(text.as_bytes());
        invariants::sse(&[b"\x07", text.as_bytes()].concat());
    }
    let scanned = envelope::scan(compact.as_bytes()).unwrap();
    let mut out = Vec::new();
    scanned.splice(&mut [], &mut out);
    assert_eq!(out, compact.as_bytes(), "{what}");
}

fn check_batch(batch: &Value) {
    let text = serde_json::to_string_pretty(batch).unwrap();
    assert_eq!(envelope::scan(text.as_bytes()).unwrap_err(), EnvelopeError::Batch);
    invariants::envelope(text.as_bytes());
    for message in envelope::split_batch(text.as_bytes()).unwrap() {
        envelope::scan(message).unwrap();
    }
}

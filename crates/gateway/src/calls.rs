//! What one caller may call, compiled when its token is read, so that a call costs one look into a table.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::InstanceName;
use domain::scopes::{Scope, Scopes};
use http::HeaderValue;
use mcp::rule::{Names, Rule};

/// What a principal may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Calls {
    /// Every instance of the account.
    All,
    /// These alone.
    Of(HashMap<String, Extent>),
}

/// How much of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// What the shim's rule allows: the value of [`domain::shim::RULE_HEADER`].
    Ruled(HeaderValue),
}

impl Calls {
    /// Compiles the scopes of a token; absent ones allow everything.
    ///
    /// A scope that names tools allows nothing but these: no prompt and no resource.
    pub fn of(scopes: Option<&Scopes>) -> Self {
        let Some(scopes) = scopes else { return Self::All };
        // Absent tools are all tools.
        let mut tools: HashMap<&InstanceName, Option<Vec<String>>> = HashMap::new();
        for scope in scopes.iter() {
            match scope {
                Scope::Call { instance: None, .. } => return Self::All,
                Scope::Call { instance: Some(instance), tool: None } => {
                    tools.insert(instance, None);
                }
                Scope::Call { instance: Some(instance), tool: Some(tool) } => {
                    if let Some(named) = tools.entry(instance).or_insert_with(|| Some(Vec::new())) {
                        named.push(tool.clone());
                    }
                }
                Scope::Read | Scope::Deploy | Scope::Admin => {}
            }
        }
        let extent = |tools: Option<Vec<String>>| tools.map_or(Extent::Whole, ruled);
        Self::Of(
            tools
                .into_iter()
                .map(|(instance, tools)| (instance.as_str().to_owned(), extent(tools)))
                .collect(),
        )
    }

    /// How much of an instance may be called; `None`: nothing.
    pub(crate) fn extent(&self, instance: &str) -> Option<&Extent> {
        match self {
            Self::All => Some(&Extent::Whole),
            Self::Of(instances) => instances.get(instance),
        }
    }
}

fn ruled(tools: Vec<String>) -> Extent {
    let nothing = || Names { allow: Some(Vec::new()), deny: Vec::new() };
    let tools = Names { allow: Some(tools), deny: Vec::new() };
    let rule = Rule { tools, prompts: nothing(), resources: nothing() };
    // Texts alone are in it, and base64 is no control character, so that neither step can fail; if one did, a rule that the shim
    // takes for none refuses the call.
    let json = serde_json::to_vec(&rule).unwrap_or_default();
    Extent::Ruled(
        HeaderValue::try_from(STANDARD.encode(json))
            .unwrap_or_else(|_| HeaderValue::from_static("unreadable")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scopes_let_through() {
        let check = |scopes: &[&str], instance: &str, expected: Option<&str>| {
            let all: Vec<Scope> = scopes.iter().map(|text| text.parse().unwrap()).collect();
            let calls = Calls::of((!all.is_empty()).then(|| Scopes::try_from(all).unwrap()).as_ref());
            let found = calls.extent(instance).map(|extent| match extent {
                Extent::Whole => "whole".to_owned(),
                Extent::Ruled(header) => {
                    String::from_utf8(STANDARD.decode(header.as_bytes()).unwrap()).unwrap()
                }
            });
            assert_eq!(found.as_deref(), expected, "{scopes:?} {instance}");
        };
        let none = r#""prompts":{"allow":[]},"resources":{"allow":[]}}"#;
        check(&[], "a", Some("whole"));
        check(&["mcp:call"], "a", Some("whole"));
        check(&["read", "deploy", "admin"], "a", None);
        check(&["mcp:call:a"], "a", Some("whole"));
        check(&["mcp:call:a"], "b", None);
        check(&["mcp:call:a/x", "mcp:call:a"], "a", Some("whole"));
        check(&["mcp:call:a/x", "mcp:call"], "b", Some("whole"));
        check(
            &["mcp:call:a/x", "mcp:call:a/get_*", "mcp:call:b"],
            "a",
            Some(&format!(r#"{{"tools":{{"allow":["get_*","x"]}},{none}"#)),
        );
    }
}

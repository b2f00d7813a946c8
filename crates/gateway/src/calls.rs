//! What one caller may call, compiled when its token is read, so that a call costs one look into a table.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::InstanceName;
use domain::rules::{self, Clause, Effect, What};
use domain::scopes::{Scope, Scopes};
use http::HeaderValue;
use mcp::rule::{Hint, Hinted, Names, Pattern, Rule};

/// What a principal may call in its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// Of these instances.
    named: HashMap<String, Extent>,
    /// Of every other one; absent: nothing.
    others: Option<Extent>,
}

/// How much of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// What the shim's rule allows: the value of [`domain::shim::RULE_HEADER`].
    Ruled(HeaderValue),
}

/// What scopes let through.
enum Scoped<'a> {
    All,
    /// These alone; of those with tools, only the tools.
    Of(HashMap<&'a InstanceName, Option<Vec<Pattern>>>),
}

impl Calls {
    /// Everything.
    pub fn all() -> Self {
        Self { named: HashMap::new(), others: Some(Extent::Whole) }
    }

    /// Compiles the scopes of a token, absent ones of which allow everything, and those of the account's rules that apply to its holder.
    /// What is allowed is what both allow.
    ///
    /// A scope that names tools allows nothing but these: no prompt and no resource.
    pub fn of(scopes: Option<&Scopes>, clauses: &[&Clause]) -> Self {
        match scopes.map_or(Scoped::All, scoped) {
            Scoped::All => {
                let named: HashSet<&InstanceName> =
                    clauses.iter().filter_map(|clause| clause.instance.as_ref()).collect();
                let of = |instance| extent(&rule_of(clauses, Some(instance)));
                let named = named.into_iter().map(|name| (name.as_str().to_owned(), of(name))).collect();
                Self { named, others: Some(extent(&rule_of(clauses, None))) }
            }
            Scoped::Of(instances) => {
                let of = |instance, tools: Option<Vec<Pattern>>| {
                    let rule = rule_of(clauses, Some(instance));
                    extent(&match tools {
                        None => rule,
                        Some(tools) => {
                            let tools = Names { allow: Some(tools), ..Names::default() };
                            let (prompts, resources) = (Names::nothing(), Names::nothing());
                            Rule { tools, prompts, resources }.and(rule)
                        }
                    })
                };
                let named = instances
                    .into_iter()
                    .map(|(instance, tools)| (instance.as_str().to_owned(), of(instance, tools)))
                    .collect();
                Self { named, others: None }
            }
        }
    }

    /// How much of an instance may be called; `None`: nothing.
    pub(crate) fn extent(&self, instance: &str) -> Option<&Extent> {
        self.named.get(instance).or(self.others.as_ref())
    }
}

fn scoped(scopes: &Scopes) -> Scoped<'_> {
    // Absent tools are all tools.
    let mut tools: HashMap<&InstanceName, Option<Vec<Pattern>>> = HashMap::new();
    for scope in scopes.iter() {
        match scope {
            Scope::Call { instance: None, .. } => return Scoped::All,
            Scope::Call { instance: Some(instance), tool: None } => {
                tools.insert(instance, None);
            }
            Scope::Call { instance: Some(instance), tool: Some(tool) } => {
                if let Some(named) = tools.entry(instance).or_insert_with(|| Some(Vec::new())) {
                    named.push(tool.clone().into());
                }
            }
            Scope::Read | Scope::Deploy | Scope::Admin => {}
        }
    }
    Scoped::Of(tools)
}

/// What clauses allow of an instance; of one that none of them names when it is absent.
fn rule_of(clauses: &[&Clause], instance: Option<&InstanceName>) -> Rule {
    let names = |what| {
        let mut names = Names::default();
        for clause in clauses {
            let is_meant = clause.instance.is_none() || clause.instance.as_ref() == instance;
            if !is_meant || ![what, What::Everything].contains(&clause.what) {
                continue;
            }
            match clause.effect {
                Effect::Allow => names.allow.get_or_insert_default().push(pattern(clause)),
                Effect::Deny => names.deny.push(pattern(clause)),
            }
        }
        // What allows everything is no list.
        names.allow = names.allow.filter(|allow| !allow.contains(&Pattern::Name("*".to_owned())));
        names
    };
    Rule { tools: names(What::Tool), prompts: names(What::Prompt), resources: names(What::Resource) }
}

fn pattern(clause: &Clause) -> Pattern {
    let name = clause.pattern.clone();
    match clause.hint {
        None => Pattern::Name(name),
        Some(rules::Hint::ReadOnly) => Pattern::Hinted(Hinted { name, hint: Hint::ReadOnly }),
        Some(rules::Hint::Destructive) => Pattern::Hinted(Hinted { name, hint: Hint::Destructive }),
    }
}

fn extent(rule: &Rule) -> Extent {
    if *rule == Rule::default() {
        return Extent::Whole;
    }
    // Texts alone are in it, and base64 is no control character, so that neither step can fail; if one did, a rule that the shim
    // takes for none refuses the call.
    let json = serde_json::to_vec(rule).unwrap_or_default();
    Extent::Ruled(
        HeaderValue::try_from(STANDARD.encode(json))
            .unwrap_or_else(|_| HeaderValue::from_static("unreadable")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of an instance.
    fn shown(calls: &Calls, instance: &str) -> Option<String> {
        calls.extent(instance).map(|extent| match extent {
            Extent::Whole => "whole".to_owned(),
            Extent::Ruled(header) => String::from_utf8(STANDARD.decode(header.as_bytes()).unwrap()).unwrap(),
        })
    }

    #[test]
    fn what_scopes_let_through() {
        let check = |scopes: &[&str], instance: &str, expected: Option<&str>| {
            let all: Vec<Scope> = scopes.iter().map(|text| text.parse().unwrap()).collect();
            let calls = Calls::of((!all.is_empty()).then(|| Scopes::try_from(all).unwrap()).as_ref(), &[]);
            assert_eq!(shown(&calls, instance).as_deref(), expected, "{scopes:?} {instance}");
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

    /// `effect instance what pattern`, and a hint.
    fn clause(text: &str) -> Clause {
        let mut words = text.split(' ');
        let mut next = || words.next();
        let effect = Effect::of_word(next().unwrap()).unwrap();
        let instance = next().filter(|name| *name != "*").map(|name| name.parse().unwrap());
        let (what, pattern) = (What::of_word(next().unwrap()).unwrap(), next().unwrap().to_owned());
        let hint = next().map(|hint| rules::Hint::of_word(hint).unwrap());
        Clause { effect, instance, what, pattern, hint }
    }

    #[test]
    fn what_rules_let_through() {
        let check = |scopes: &str, clauses: &[&str], expected: [Option<&str>; 2]| {
            let scopes = scopes.split_whitespace().map(|text| text.parse().unwrap()).collect::<Vec<Scope>>();
            let scopes = (!scopes.is_empty()).then(|| Scopes::try_from(scopes).unwrap());
            let all: Vec<Clause> = clauses.iter().map(|text| clause(text)).collect();
            let calls = Calls::of(scopes.as_ref(), &all.iter().collect::<Vec<_>>());
            let found = ["a", "b"].map(|instance| shown(&calls, instance));
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{scopes:?} {clauses:?}");
        };
        let (whole, none) = (Some("whole"), None);
        check(
            "",
            &["deny a tool x", "deny a tool y"],
            [Some(r#"{"tools":{"deny":["x","y"]},"prompts":{},"resources":{}}"#), whole],
        );
        let both = Some(r#"{"tools":{"deny":["x"]},"prompts":{},"resources":{}}"#);
        check("", &["deny * tool x"], [both, both]);
        // An allow of one kind and instance leaves the others alone.
        check(
            "",
            &["allow a prompt p", "deny * prompt q"],
            [
                Some(r#"{"tools":{},"prompts":{"allow":["p"],"deny":["q"]},"resources":{}}"#),
                Some(r#"{"tools":{},"prompts":{"deny":["q"]},"resources":{}}"#),
            ],
        );
        let all = r#"{"tools":{"deny":["*"]},"prompts":{"deny":["*"]},"resources":{"deny":["*"]}}"#;
        check("", &["deny b everything *"], [whole, Some(all)]);
        // What allows everything makes the lists of others longer, until there is none.
        check("", &["allow a tool x", "allow a everything *"], [whole, whole]);
        check(
            "",
            &["allow * tool x", "allow a tool *"],
            [whole, Some(r#"{"tools":{"allow":["x"]},"prompts":{},"resources":{}}"#)],
        );
        check(
            "",
            &["allow * tool * read-only", "deny a tool d* destructive"],
            [
                Some(
                    r#"{"tools":{"allow":[{"name":"*","hint":"read-only"}],"deny":[{"name":"d*","hint":"destructive"}]},"prompts":{},"resources":{}}"#,
                ),
                Some(r#"{"tools":{"allow":[{"name":"*","hint":"read-only"}]},"prompts":{},"resources":{}}"#),
            ],
        );
        // Scopes and rules: what both allow.
        check("mcp:call:a", &["allow b tool x"], [whole, none]);
        check("read", &["allow * everything *"], [none, none]);
        check("mcp:call", &["deny * tool x"], [both, both]);
        check(
            "mcp:call:a/x* mcp:call:b",
            &["allow a tool *y", "deny * tool z"],
            [
                Some(
                    r#"{"tools":{"allow":["x*"],"also":[["*y"]],"deny":["z"]},"prompts":{"allow":[]},"resources":{"allow":[]}}"#,
                ),
                Some(r#"{"tools":{"deny":["z"]},"prompts":{},"resources":{}}"#),
            ],
        );
    }
}

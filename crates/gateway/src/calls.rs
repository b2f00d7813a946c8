//! What one caller may call, compiled when its token is read, so that a call costs one look into a table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::InstanceName;
use domain::rules::{self, Clause, Effect, What};
use domain::scopes::{Scope, Scopes};
use domain::toolbelts::AccessLevel;
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
    /// What a rule allows.
    Ruled {
        /// The rule as the shim gets it: the value of [`domain::shim::RULE_HEADER`].
        header: HeaderValue,
        /// The same.
        rule: Arc<Rule>,
    },
}

/// What was granted of one instance to somebody who may call nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The instance.
    pub instance: InstanceName,
    /// Tools by name, in which `*` stands for any characters, and whether they may be called. A denial wins.
    pub tools: Vec<(String, bool)>,
    /// How much of it was granted as a whole, and with [`AccessLevel::Custom`] which tools.
    pub level: Option<(AccessLevel, Vec<String>)>,
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

    /// Compiles what an agent was granted, and those of the account's rules that apply to it. What is allowed is what both allow; the
    /// rules alone say what may be called of its toolbelt, which has nothing of its own.
    pub fn of_agent(toolbelt: &InstanceName, grants: &[Grant], clauses: &[&Clause]) -> Self {
        let ruled = |instance, rule: Rule| extent(&rule.and(rule_of(clauses, Some(instance))));
        let mut named: HashMap<String, Extent> = grants
            .iter()
            .map(|grant| (grant.instance.as_str().to_owned(), ruled(&grant.instance, granted(grant))))
            .collect();
        named.insert(toolbelt.as_str().to_owned(), ruled(toolbelt, Rule::default()));
        Self { named, others: None }
    }

    /// How much of an instance may be called; `None`: nothing.
    pub fn extent(&self, instance: &str) -> Option<&Extent> {
        self.named.get(instance).or(self.others.as_ref())
    }
}

/// What a grant allows. Reading prompts and resources changes nothing, so whoever may read as a whole may read these; a list of tools is
/// for tools alone.
fn granted(grant: &Grant) -> Rule {
    let name = |name: &String| Pattern::Name(name.clone());
    let with =
        |is_allowed| grant.tools.iter().filter(move |tool| tool.1 == is_allowed).map(|tool| name(&tool.0));
    let deny = with(false).collect();
    let mut allow: Vec<Pattern> = with(true).collect();
    let others = |is_open: bool| if is_open { Names::default() } else { Names::nothing() };
    let (allow, is_open) = match &grant.level {
        Some((AccessLevel::FullAccess, _)) => (None, true),
        Some((AccessLevel::ReadOnly, _)) => {
            allow.push(Pattern::Hinted(Hinted { name: "*".to_owned(), hint: Hint::ReadOnly }));
            (Some(allow), true)
        }
        Some((AccessLevel::Custom, tools)) => {
            allow.extend(tools.iter().map(name));
            (Some(allow), false)
        }
        None => (Some(allow), false),
    };
    let tools = Names { allow, deny, ..Names::default() };
    Rule { tools, prompts: others(is_open), resources: others(is_open) }
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
    let header = HeaderValue::try_from(STANDARD.encode(json))
        .unwrap_or_else(|_| HeaderValue::from_static("unreadable"));
    Extent::Ruled { header, rule: Arc::new(rule.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule of an instance.
    fn shown(calls: &Calls, instance: &str) -> Option<String> {
        calls.extent(instance).map(|extent| match extent {
            Extent::Whole => "whole".to_owned(),
            Extent::Ruled { header, .. } => {
                String::from_utf8(STANDARD.decode(header.as_bytes()).unwrap()).unwrap()
            }
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
    #[test]
    fn what_an_agent_may_call() {
        let grant = |tools: &[&str], level: Option<(AccessLevel, &[&str])>| Grant {
            instance: "a".parse().unwrap(),
            tools: tools
                .iter()
                .map(|tool| {
                    tool.strip_prefix('!').map_or((tool.to_string(), true), |tool| (tool.to_owned(), false))
                })
                .collect(),
            level: level.map(|(level, tools)| (level, tools.iter().map(ToString::to_string).collect())),
        };
        let check = |grant: Grant, clauses: &[&str], expected: [Option<&str>; 3]| {
            let all: Vec<Clause> = clauses.iter().map(|text| clause(text)).collect();
            let belt = "belt".parse().unwrap();
            let calls = Calls::of_agent(&belt, std::slice::from_ref(&grant), &all.iter().collect::<Vec<_>>());
            let found = ["a", "belt", "other"].map(|instance| shown(&calls, instance));
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{grant:?} {clauses:?}");
        };
        let whole = Some("whole");
        let closed = r#","prompts":{"allow":[]},"resources":{"allow":[]}}"#;
        let tools = |names: &str| format!(r#"{{"tools":{names}{closed}"#);
        let (full, custom) = (AccessLevel::FullAccess, AccessLevel::Custom);
        check(grant(&[], None), &[], [Some(&tools(r#"{"allow":[]}"#)), whole, None]);
        check(
            grant(&["x", "!y", "get_*"], None),
            &[],
            [Some(&tools(r#"{"allow":["x","get_*"],"deny":["y"]}"#)), whole, None],
        );
        check(grant(&[], Some((full, &[]))), &[], [whole, whole, None]);
        check(
            grant(&["!x"], Some((full, &[]))),
            &[],
            [Some(r#"{"tools":{"deny":["x"]},"prompts":{},"resources":{}}"#), whole, None],
        );
        check(
            grant(&["x"], Some((AccessLevel::ReadOnly, &[]))),
            &[],
            [
                Some(
                    r#"{"tools":{"allow":["x",{"name":"*","hint":"read-only"}]},"prompts":{},"resources":{}}"#,
                ),
                whole,
                None,
            ],
        );
        check(
            grant(&["x"], Some((custom, &["y"]))),
            &[],
            [Some(&tools(r#"{"allow":["x","y"]}"#)), whole, None],
        );
        // Rules of the account hold for agents too.
        check(
            grant(&["x"], None),
            &["deny * tool x", "allow belt prompt p"],
            [
                Some(&tools(r#"{"allow":["x"],"deny":["x"]}"#)),
                Some(r#"{"tools":{"deny":["x"]},"prompts":{"allow":["p"]},"resources":{}}"#),
                None,
            ],
        );
    }
}

//! Toolbelts as those who run one use them: members are heard, a view is looked at, messages are routed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod heard;
mod routed;

use domain::toolbelts::{Kind, Mode, OnChange};
use mcp::envelope;
use toolbelt::{Belt, Listing, Member};

/// A listing of these definitions.
fn listing(kind: Kind, items: &[String]) -> Listing {
    let list = match kind {
        Kind::Tool => "tools",
        Kind::Prompt => "prompts",
        Kind::Resource => "resources",
        Kind::Template => "resourceTemplates",
    };
    let page = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{list}":[{}]}}}}"#, items.join(","));
    let mut listing = Listing::default();
    assert_eq!(listing.take(kind, &envelope::scan(page.as_bytes()).unwrap()), None);
    listing
}

fn tools(names: &[&str]) -> Listing {
    let items: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    listing(Kind::Tool, &items)
}

fn member(name: &str) -> Member {
    Member { id: format!("id-{name}"), name: name.to_owned(), is_active: true, ..Member::default() }
}

fn belt(members: &[&str]) -> Belt {
    Belt {
        name: "belt".to_owned(),
        description: None,
        mode: Mode::List,
        on_change: OnChange::Keep,
        members: members.iter().map(|name| member(name)).collect(),
    }
}

/// The names of the tools that are shown.
fn shown(belt: &Belt) -> Vec<String> {
    belt.view().entries(Kind::Tool).iter().map(|entry| entry.shown.to_string()).collect()
}

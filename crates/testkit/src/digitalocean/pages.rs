//! Lists, a page at a time.

use serde_json::{Map, Value, json};

use super::reply::{Ask, Reply};

/// A page of a list under its key. `home` is the fake's own address.
pub(super) fn page(home: &str, ask: &Ask, key: &str, all: Vec<Value>) -> Reply {
    let number = |name: &str, default: usize| match ask.parameter(name) {
        Some(text) => text.parse::<usize>().ok().filter(|&n| 1 <= n),
        None => Some(default),
    };
    let (Some(per_page), Some(page)) = (number("per_page", 20).filter(|&n| n <= 200), number("page", 1))
    else {
        return Reply::invalid("per_page has to be 1 to 200, and page 1 or more");
    };
    let total = all.len();
    let last = total.div_ceil(per_page).max(1);
    let of_page: Vec<Value> = all.into_iter().skip((page - 1) * per_page).take(per_page).collect();
    let mut pages = Map::new();
    let mut link = |name: &str, to: usize| {
        let others = ask.query.iter().filter(|(name, _)| name != "page" && name != "per_page");
        let filter: Vec<String> = others.map(|(name, value)| format!("{name}={value}&")).collect();
        let url = format!("{home}{}?{}page={to}&per_page={per_page}", ask.path, filter.concat());
        pages.insert(name.to_owned(), url.into());
    };
    if 1 < page {
        link("first", 1);
        link("prev", page - 1);
    }
    if page < last {
        link("next", page + 1);
        link("last", last);
    }
    let links = if pages.is_empty() { json!({}) } else { json!({"pages": pages}) };
    Reply::new(200, json!({key: of_page, "links": links, "meta": {"total": total}}))
}

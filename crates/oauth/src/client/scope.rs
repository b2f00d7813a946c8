//! Which scopes are asked for (MCP, Authorization: "Scope Selection Strategy", "Scope Challenge Handling").

/// What authorization servers want asked for before they give a refresh token (OpenID Connect Core 1.0 §11).
pub(super) const OFFLINE: &str = "offline_access";

/// The scopes to ask for: those that the challenge names, else those that the server's document lists; with them all that were
/// asked for before, so that what was granted is not lost; and [`OFFLINE`] where the authorization server has it. Without any
/// the parameter is left out, and the authorization server decides.
pub(super) fn select(
    challenged: Option<&str>,
    supported: &[String],
    before: &[String],
    offered: &[String],
) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    let mut add = |scope: &str| {
        if is_scope(scope) && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    };
    for scope in before {
        add(scope);
    }
    match challenged.map(str::trim).filter(|scope| !scope.is_empty()) {
        Some(challenged) => challenged.split_ascii_whitespace().for_each(&mut add),
        None => supported.iter().map(String::as_str).for_each(&mut add),
    }
    if !scopes.is_empty()
        && offered.iter().any(|scope| scope == OFFLINE)
        && !scopes.iter().any(|scope| scope == OFFLINE)
    {
        scopes.push(OFFLINE.to_owned());
    }
    scopes
}

/// RFC 6749 §3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte == 0x21 || (0x23..=0x5b).contains(&byte) || (0x5d..=0x7e).contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection() {
        let list = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let check =
            |challenged: Option<&str>, supported: &str, before: &str, offered: &str, expected: &str| {
                let found = select(challenged, &list(supported), &list(before), &list(offered));
                assert_eq!(found.join(" "), expected, "{challenged:?} {supported} {before} {offered}");
            };
        check(None, "", "", "", "");
        check(None, "", "", "offline_access", "");
        check(None, "a b", "", "a b", "a b");
        check(Some("c"), "a b", "", "", "c");
        check(Some(" "), "a", "", "", "a");
        check(Some("b a"), "", "a", "", "a b");
        check(Some("a"), "", "a", "x offline_access", "a offline_access");
        check(Some("a offline_access"), "", "", "offline_access", "a offline_access");
        check(Some("a\" é b"), "", "", "", "b");
    }
}

//! Secrets are compared in one place, in constant time: an ordinary comparison ends at the first difference, and how long it took tells
//! how much of a guess is right.
//!
//! What is looked for is the text of statements. It is no proof, since a secret under a name of no kind is not known for one; the type
//! `domain::secret::Secret`, whose own comparison is that one place, covers what has it.

use std::path::Path;

/// Where it is, and where nothing else may be compared.
const PLACE: &str = "crates/domain/src/secret.rs";
/// Crates of tests alone.
const TESTS: [&str; 5] = ["bench", "fixture", "soak", "testkit", "visitor"];
/// Parts of names of what somebody shows, or what it is held against.
const NAMES: [&str; 8] =
    ["bearer", "code_hash", "cookie", "csrf", "nonce", "secret_hash", "token_hash", "verifier"];

/// What is wrong.
pub(super) fn report() -> anyhow::Result<Vec<String>> {
    let mut wrong = vec![];
    for path in super::sources(&["crates"])? {
        let relative = path.strip_prefix(crate::run::root())?;
        if is_product(relative) {
            let found = check(relative, &std::fs::read_to_string(&path)?);
            wrong.extend(found.into_iter().map(|what| format!("{}: {what}", relative.display())));
        }
    }
    Ok(wrong)
}

fn is_product(path: &Path) -> bool {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let is_test = path.file_stem().is_some_and(|stem| stem == "tests") || parts.contains(&"tests");
    matches!(parts[..], ["crates", of, ..] if !TESTS.contains(&of)) && !is_test
}

/// What a file has that it must not have, and in the one place what it must.
fn check(path: &Path, text: &str) -> Vec<String> {
    let code: Vec<&str> = text
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut wrong = vec![];
    if path == Path::new(PLACE) {
        if !code.contains(".ct_eq(") {
            wrong.push("secrets are compared with `subtle::ConstantTimeEq`".to_owned());
        }
        if !code.contains("fn eq(&self, other: &Self) -> bool {\n        same(") {
            wrong.push("`Secret` compares with `same`".to_owned());
        }
        let otherwise = ["==", "!=", ".eq(", "derive(PartialEq"];
        if let Some(other) = otherwise.iter().find(|other| code.contains(**other)) {
            wrong.push(format!("`{other}`: nothing here is compared but in constant time"));
        }
        return wrong;
    }
    if code.contains("ct_eq(") || code.contains("subtle::") {
        wrong.push(format!("compare secrets with `domain::secret::same`, so that {PLACE} is the only place"));
    }
    wrong.extend(code.split([';', '{', '}']).filter(|statement| compares(statement)).map(|statement| {
        let shown: Vec<&str> = statement.split_whitespace().collect();
        format!("compare secrets with `domain::secret::same`, not as in `{}`", shown.join(" "))
    }));
    wrong
}

/// Whether a statement compares what a secret exposes, its length aside, or something that has the name of a secret.
fn compares(statement: &str) -> bool {
    let statement = statement.replace("expose().len()", "").replace("expose().is_empty()", "");
    let marks = ["==", "!=", ".eq(", ".ne(", ".cmp("];
    let compared = || marks.iter().flat_map(|mark| statement.match_indices(mark));
    if statement.contains("expose()") && compared().next().is_some() {
        return true;
    }
    let is_name = |c: char| c.is_alphanumeric() || "_.()&*".contains(c);
    compared().any(|(at, mark)| {
        let before = statement[..at].trim_end();
        let after = statement[at + mark.len()..].trim_start();
        let before = before.rsplit(|c| !is_name(c)).next().unwrap_or_default();
        let after = after.split(|c| !is_name(c)).next().unwrap_or_default();
        NAMES.iter().any(|name| before.contains(name) || after.contains(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_statements_compare_secrets() {
        let check =
            |statement: &str, expected: bool| assert_eq!(compares(statement), expected, "{statement}");
        check("if state.as_deref() != Some(self.state.expose())", true);
        check("let is = token.expose()\n    == given", true);
        check("token.expose().as_bytes().eq(given)", true);
        check("if given.csrf == visitor.csrf", true);
        check("Some(by) if by == nonce && later", true);
        check("row.token_hash == hash", true);
        check("if token.expose().len() == 43", false);
        check("let hash = hash_text(token.expose())", false);
        check("if secret::same(given.as_bytes(), visitor.csrf.as_bytes()) && later == now", false);
        check("const SQL: &str = \"WHERE token_hash = $1\"", false);
    }

    #[test]
    fn the_place_keeps_its_word() {
        let path = Path::new(PLACE);
        let good = "fn same() { a.ct_eq(b) }\n    fn eq(&self, other: &Self) -> bool {\n        same(a, b)\n";
        assert!(check(path, good).is_empty());
        for bad in [good.replace(".ct_eq(b)", " == b"), good.replace("same(a", "self.0.eq(a"), String::new()]
        {
            assert!(!check(path, &bad).is_empty(), "{bad}");
        }
        let elsewhere = Path::new("crates/x/src/lib.rs");
        assert_eq!(check(elsewhere, "use subtle::ConstantTimeEq as _;").len(), 1);
        assert!(
            check(elsewhere, "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { a.expose() == b; } }").is_empty()
        );
    }
}

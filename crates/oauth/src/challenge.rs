//! `WWW-Authenticate: Bearer …` (RFC 6750 §3, RFC 9728 §5.1).

/// What a resource wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where its document lies.
    pub resource_metadata: Option<String>,
    /// The scopes that the operation takes, with spaces between.
    pub scope: Option<String>,
    /// What is wrong with the token that was shown.
    pub error: Option<String>,
    /// The same in words.
    pub error_description: Option<String>,
}

impl Challenge {
    /// The first challenge of the scheme `Bearer` in the values of a header; `None` when there is none.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        values.into_iter().find_map(Self::of_value)
    }

    fn of_value(value: &str) -> Option<Self> {
        let at = find_scheme(value)?;
        let mut found = Self::default();
        let mut rest = value[at..].trim_start();
        while let Some((name, after)) = token(rest) {
            let after = after.trim_start();
            // A word without `=` begins the next challenge.
            let Some(after) = after.strip_prefix('=') else { break };
            let (text, after) = quoted_or_token(after.trim_start())?;
            match name.to_ascii_lowercase().as_str() {
                "resource_metadata" => found.resource_metadata = Some(text),
                "scope" => found.scope = Some(text),
                "error" => found.error = Some(text),
                "error_description" => found.error_description = Some(text),
                _ => {}
            }
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        Some(found)
    }
}

/// Where the parameters of `Bearer` begin.
fn find_scheme(value: &str) -> Option<usize> {
    let mut quoted = false;
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            _ if !quoted && (at == 0 || matches!(bytes[at - 1], b' ' | b',')) => {
                let end = at + "bearer".len();
                let is_it = bytes.get(at..end).is_some_and(|word| word.eq_ignore_ascii_case(b"bearer"));
                if is_it && bytes.get(end).is_none_or(|byte| *byte == b' ') {
                    return Some(end);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn token(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)))
        .unwrap_or(text.len());
    (0 < end).then(|| text.split_at(end))
}

fn quoted_or_token(text: &str) -> Option<(String, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut out = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((out, &inner[at + 1..])),
            '\\' => out.push(characters.next()?.1),
            _ => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let check = |value: &str, expected: Option<[Option<&str>; 3]>| {
            let found = Challenge::parse([value]);
            let found = found.as_ref().map(|found| {
                [found.resource_metadata.as_deref(), found.scope.as_deref(), found.error.as_deref()]
            });
            assert_eq!(found, expected, "{value}");
        };
        check("Bearer", Some([None; 3]));
        check("bearer scope=a", Some([None, Some("a"), None]));
        check("Basic realm=\"Bearer x\"", None);
        check("Basic realm=\"x\", Bearer error=\"invalid_token\"", Some([None, None, Some("invalid_token")]));
        check(
            r#"Bearer realm="a, \"b\"", resource_metadata="https://h/x?y=1,2", scope="a b", DPoP algs="ES256""#,
            Some([Some("https://h/x?y=1,2"), Some("a b"), None]),
        );
        check(r#"Bearer scope="open"#, None);
        check("Bearers scope=a", None);
        check("", None);
    }
}

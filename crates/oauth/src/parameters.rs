//! The parameters of a request, in a query or a form (RFC 6749 §3.1, §3.2: "parameters MUST NOT be included more than once").

use crate::errors::{Code, Refused};

/// The most parameters that are read.
const MAX: usize = 64;

/// Names and values, in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl std::fmt::Debug for Parameters {
    // Codes, secrets and tokens are values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parameters {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn parse(text: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(text)
                .take(MAX)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The value of a parameter; an empty one counts as absent (RFC 6749 §3.1).
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] when it is there more than once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Refused> {
        let mut found = self.0.iter().filter(|(of, _)| of == name).map(|(_, value)| value.as_str());
        let first = found.next();
        if found.next().is_some() {
            return Err(Refused::new(Code::InvalidRequest, format!("`{name}` is given more than once")));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`].
    pub fn required(&self, name: &str) -> Result<&str, Refused> {
        self.one(name)?.ok_or_else(|| Refused::new(Code::InvalidRequest, format!("`{name}` is missing")))
    }
}

/// Adds parameters to the query of a redirect URI, whatever it has already (RFC 6749 §4.1.2).
pub fn append(uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut added = form_urlencoded::Serializer::new(String::new());
    added.extend_pairs(parameters);
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{}", added.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once() {
        let given = Parameters::parse(b"a=1&b=&c=x%20y+z&a=2");
        assert_eq!(given.one("c"), Ok(Some("x y z")));
        assert_eq!(given.one("b"), Ok(None));
        assert_eq!(given.one("d"), Ok(None));
        assert_eq!(given.one("a").unwrap_err().code, Code::InvalidRequest);
        assert_eq!(given.required("b").unwrap_err().description, "`b` is missing");
        assert_eq!(format!("{given:?}"), r#"["a", "b", "c", "a"]"#);
    }

    #[test]
    fn what_is_added() {
        let check =
            |uri: &str, expected: &str| assert_eq!(append(uri, &[("code", "a b"), ("state", "&")]), expected);
        check("https://a/cb", "https://a/cb?code=a+b&state=%26");
        check("https://a/cb?", "https://a/cb?code=a+b&state=%26");
        check("https://a/cb?x=1", "https://a/cb?x=1&code=a+b&state=%26");
        check("cursor://x/cb", "cursor://x/cb?code=a+b&state=%26");
    }
}

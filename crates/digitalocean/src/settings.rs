//! Where the API is, with what token it is asked, and for how long.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

/// The API of the provider itself.
const PROVIDER: &str = "https://api.digitalocean.com";

/// An API token. It is redacted in `Debug`, wiped when dropped, and has neither `Display` nor `Serialize`.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// Takes the token in; white space around it, which pasting leaves, is no part of it.
    ///
    /// # Errors
    /// When it is empty or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, SettingsError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SettingsError::Token);
        }
        Ok(Self(SecretString::from(text.to_owned())))
    }

    /// The token itself, for the one header that carries it.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// There is no token.
    #[error(
        "DIGITALOCEAN_TOKEN is not set: make a token at https://cloud.digitalocean.com/account/api/tokens"
    )]
    NoToken,
    /// The token is empty or holds characters that no token has.
    #[error("the DigitalOcean token is empty or has characters that no token has: copy it again")]
    Token,
    /// The address of the API is none, or would show the token to others.
    #[error("DIGITALOCEAN_API_URL is `{0}`: it has to be https://…, or http://… on this machine")]
    Url(String),
    /// No client can be made, for lack of certificates.
    #[error(
        "cannot make an HTTPS client ({0}): install the system's certificates, `apt-get install ca-certificates`"
    )]
    Certificates(String),
}

/// What a [`Client`](crate::Client) needs to know. The times may be changed; tests do.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) base: Url,
    pub(crate) token: Token,
    /// How long one request may take.
    pub answer_within: Duration,
    /// How long one call of a function may take, waits and repetitions included. A wait that would be longer is not begun.
    pub give_up_after: Duration,
    /// The wait before the first repetition; it doubles.
    pub first_wait: Duration,
    /// How long a creation whose answer was lost is looked for before it is tried again: the provider may still be at it.
    pub settle: Duration,
}

impl Settings {
    /// The provider's own API with this token.
    ///
    /// # Errors
    /// Never in practice: the provider's address is one.
    pub fn new(token: Token) -> Result<Self, SettingsError> {
        Self::at(PROVIDER, token)
    }

    /// The API at another address; `/v2/…` is added to it.
    ///
    /// # Errors
    /// When the address is none, or not https and not on this machine: others would read the token.
    pub fn at(url: &str, token: Token) -> Result<Self, SettingsError> {
        let refused = || SettingsError::Url(url.to_owned());
        let base = Url::parse(url).map_err(|_| refused())?;
        let local = match base.host_str() {
            Some("localhost") => true,
            Some(host) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            None => return Err(refused()),
        };
        let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !plain || !(base.scheme() == "https" || (base.scheme() == "http" && local)) {
            return Err(refused());
        }
        Ok(Self {
            base,
            token,
            answer_within: Duration::from_secs(30),
            give_up_after: Duration::from_mins(3),
            first_wait: Duration::from_millis(500),
            settle: Duration::from_secs(45),
        })
    }

    /// From `DIGITALOCEAN_TOKEN` and, where it is set, `DIGITALOCEAN_API_URL`.
    ///
    /// # Errors
    /// When there is no token, or one of the two cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        let token = Token::new(&set("DIGITALOCEAN_TOKEN").ok_or(SettingsError::NoToken)?)?;
        match set("DIGITALOCEAN_API_URL") {
            Some(url) => Self::at(url.trim(), token),
            None => Self::new(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(token: Option<&str>, url: Option<&str>, expected: Result<&str, SettingsError>) {
        let variable = |name: &str| match name {
            "DIGITALOCEAN_TOKEN" => token.map(str::to_owned),
            _ => url.map(str::to_owned),
        };
        let base = Settings::from_variables(variable).map(|settings| settings.base.to_string());
        assert_eq!(base.as_deref().map_err(|error| format!("{error}")), expected.map_err(|e| e.to_string()));
    }

    #[test]
    fn the_environment() {
        let refused = |url: &str| Err(SettingsError::Url(url.to_owned()));
        check(Some("t"), None, Ok("https://api.digitalocean.com/"));
        check(Some(" t\n"), Some(""), Ok("https://api.digitalocean.com/"));
        check(Some("t"), Some("http://127.0.0.1:4010"), Ok("http://127.0.0.1:4010/"));
        check(Some("t"), Some("http://[::1]:4010"), Ok("http://[::1]:4010/"));
        check(Some("t"), Some("https://proxy.example/do/"), Ok("https://proxy.example/do/"));
        check(None, None, Err(SettingsError::NoToken));
        check(Some("two words"), None, Err(SettingsError::Token));
        for url in
            ["http://api.example", "ftp://api.example", "nowhere", "https://me:pw@api.example", "file:///x"]
        {
            check(Some("t"), Some(url), refused(url));
        }
    }

    #[test]
    fn the_token_is_not_printed() {
        let settings = Settings::new(Token::new("dop_v1_hunter2").unwrap()).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

//! The address that others use: clients of the MCP addresses, hosts, and whoever reads the JSON API elsewhere.

use hop::tls::Pin;
use http::Uri;

/// Where this control plane is reached from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// `http://` or `https://`, a host and perhaps a port; nothing behind, and no port where it is the scheme's own.
    pub(crate) url: String,
    /// The key that answers there, exactly when its certificate is one that no authority knows.
    pub(crate) pin: Option<Pin>,
}

/// Why a text is not the address of a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicError {
    /// It is no URL, or of another scheme.
    #[error("it must begin with `http://` or `https://` and name a host")]
    Shape,
    /// It holds a user or a password.
    #[error("it must hold no user and no password")]
    User,
    /// It goes on behind the host and its port.
    #[error("it must end behind the host and its port: paths are Berth's own")]
    More,
    /// A pin is of a key, and plain HTTP has none.
    #[error("a pin is for an address that begins with `https://`")]
    Pin,
}

impl Public {
    /// Takes `https://berth.example.com`, with a slash or without.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(url: &str, pin: Option<Pin>) -> Result<Self, PublicError> {
        if url.contains('#') {
            return Err(PublicError::More);
        }
        let uri: Uri = url.parse().map_err(|_| PublicError::Shape)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(PublicError::Shape);
        };
        let own_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(PublicError::Shape),
        };
        if authority.as_str().contains('@') {
            return Err(PublicError::User);
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(PublicError::More);
        }
        let host = authority.host().to_ascii_lowercase();
        let after = authority.as_str().get(host.len()..).unwrap_or_default();
        let port = match after.strip_prefix(':') {
            None => None,
            Some(port) => Some(port.parse::<u16>().map_err(|_| PublicError::Shape)?),
        };
        if host.is_empty() || port == Some(0) {
            return Err(PublicError::Shape);
        }
        if pin.is_some() && scheme != "https" {
            return Err(PublicError::Pin);
        }
        let port = port.filter(|port| *port != own_port).map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self { url: format!("{scheme}://{host}{port}"), pin })
    }

    /// The address, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether only this very machine reaches that address.
    pub(crate) fn is_of_this_machine_alone(&self) -> bool {
        let authority = self.url.split_once("://").map_or(self.url.as_str(), |(_, authority)| authority);
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        };
        let host = host.unwrap_or_default();
        host == "localhost"
            || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback() || ip.is_unspecified())
    }

    /// The pin of the key that answers there, when no authority knows its certificate.
    pub fn pin(&self) -> Option<Pin> {
        self.pin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |given: &str, expected: Result<&str, PublicError>| {
            let made = Public::new(given, None);
            assert_eq!(made.as_ref().map(Public::url).map_err(|error| *error), expected, "{given}");
        };
        check("https://berth.example.com", Ok("https://berth.example.com"));
        check("https://Berth.Example.com:443/", Ok("https://berth.example.com"));
        check("http://10.0.0.1:8420", Ok("http://10.0.0.1:8420"));
        check("https://[2001:db8::1]:8443", Ok("https://[2001:db8::1]:8443"));
        check("http://h:443", Ok("http://h:443"));
        check("berth.example.com", Err(PublicError::Shape));
        check("ftp://berth.example.com", Err(PublicError::Shape));
        check("https://", Err(PublicError::Shape));
        check("https://h:99999", Err(PublicError::Shape));
        check("https://h:0", Err(PublicError::Shape));
        check("https://me@h", Err(PublicError::User));
        check("https://me:secret@h", Err(PublicError::User));
        check("https://h/berth", Err(PublicError::More));
        check("https://h?x", Err(PublicError::More));
        check("https://h/#x", Err(PublicError::More));
        check("", Err(PublicError::Shape));
        for (url, is_alone) in [
            ("http://localhost:8420", true),
            ("http://127.0.0.1:8420", true),
            ("http://[::1]:8420", true),
            ("http://0.0.0.0", true),
            ("https://localhost.example.com", false),
            ("https://[2001:db8::1]", false),
            ("http://10.0.0.1:8420", false),
        ] {
            assert_eq!(Public::new(url, None).unwrap().is_of_this_machine_alone(), is_alone, "{url}");
        }
        let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap();
        assert_eq!(Public::new("http://h", Some(pin)), Err(PublicError::Pin));
        assert_eq!(Public::new("https://h", Some(pin)).unwrap().pin(), Some(pin));
    }
}

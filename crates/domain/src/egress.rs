//! What an instance may reach on the network.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What an instance may reach on the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "egress", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Egress {
    /// Nothing.
    None,
    /// What is listed, by names that the DTMA resolves for it, and by addresses.
    AllowList {
        /// Such as `api.github.com`, `*.example.com:443`, `192.0.2.7` or `10.0.0.0/8:5432`.
        #[schema(value_type = Vec<String>)]
        hosts: Vec<Destination>,
    },
    /// All but the host itself, the control plane and the metadata addresses of clouds.
    #[default]
    Open,
}

/// More would be no list that anybody reads.
pub const MAX_DESTINATIONS: usize = 64;
/// A name in DNS, in bytes.
const MAX_NAME: usize = 253;

/// One line of a list: where, and on which port; absent: on every port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    /// Where.
    pub place: Place,
    /// The port, of TCP and UDP.
    pub port: Option<u16>,
}

/// Where a destination is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A name in DNS, in small letters, without a dot at its end.
    Name(String),
    /// Every name that ends with a dot and this one, which is as above.
    Below(String),
    /// The addresses with these first bits.
    Network {
        /// The first address.
        address: Ipv4Addr,
        /// How many bits; 32 for one address.
        prefix: u8,
    },
}

impl Place {
    /// Whether a name, in small letters and without a dot at its end, is meant.
    pub fn has_name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Below(own) => {
                name.strip_suffix(own).is_some_and(|rest| 1 < rest.len() && rest.ends_with('.'))
            }
            Self::Network { .. } => false,
        }
    }
}

/// Why a text is no egress or no destination; in words, with what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// None of the words.
    #[error("`{0}` is no egress: write `none`, `open`, or `allow=HOST[:PORT],…`")]
    Word(String),
    /// No line, or too many.
    #[error("a list of allowed hosts has 1 to {MAX_DESTINATIONS} of them: write `none` to allow nothing")]
    Count,
    /// No destination.
    #[error(
        "`{0}` is no host that can be allowed: write a name, `*.SUFFIX`, an IPv4 address or `ADDRESS/BITS`, and `:PORT` \
         behind it if only one port is meant"
    )]
    Destination(String),
    /// The network of instances has no IPv6.
    #[error("`{0}` is an IPv6 address, and instances reach IPv4 addresses only")]
    Six(String),
    /// Bits behind the prefix.
    #[error("`{0}` has bits behind its prefix: write `{1}`")]
    Bits(String, String),
    /// Never reachable.
    #[error("`{0}` can never be reached from an instance: it is this host's own, or a cloud's metadata")]
    Never(String),
}

impl std::str::FromStr for Egress {
    type Err = EgressError;

    fn from_str(text: &str) -> Result<Self, EgressError> {
        match text {
            "none" => return Ok(Self::None),
            "open" => return Ok(Self::Open),
            _ => {}
        }
        let list = text.strip_prefix("allow=").ok_or_else(|| EgressError::Word(text.to_owned()))?;
        let hosts = list.split(',').map(str::trim).filter(|host| !host.is_empty()).map(str::parse);
        let egress = Self::AllowList { hosts: hosts.collect::<Result<_, _>>()? };
        egress.check()?;
        Ok(egress)
    }
}

impl Egress {
    /// Refuses a list without a line, and one that is too long.
    pub fn check(&self) -> Result<(), EgressError> {
        match self {
            Self::AllowList { hosts } if !(1..=MAX_DESTINATIONS).contains(&hosts.len()) => {
                Err(EgressError::Count)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Open => f.write_str("open"),
            Self::AllowList { hosts } => {
                f.write_str("allow=")?;
                for (i, host) in hosts.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { "," })?;
                    host.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

impl std::str::FromStr for Destination {
    type Err = EgressError;

    fn from_str(text: &str) -> Result<Self, EgressError> {
        let wrong = || EgressError::Destination(text.to_owned());
        let first = text.split('/').next().unwrap_or_default();
        if text.starts_with('[') || first.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(EgressError::Six(text.to_owned()));
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((host, port)) => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port =
                    port.parse::<u16>().ok().filter(|port| is_number && *port != 0).ok_or_else(wrong)?;
                (host, Some(port))
            }
        };
        let place = network(host)?.or_else(|| name(host)).ok_or_else(wrong)?;
        Ok(Self { place, port })
    }
}

/// `None` for what is no address at all.
fn network(text: &str) -> Result<Option<Place>, EgressError> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<Ipv4Addr>() else { return Ok(None) };
    let prefix = match prefix {
        None => 32,
        Some(bits) => match bits.parse::<u8>() {
            Ok(bits) if bits <= 32 => bits,
            _ => return Ok(None),
        },
    };
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    let first = Ipv4Addr::from_bits(address.to_bits() & mask);
    if first != address {
        return Err(EgressError::Bits(text.to_owned(), format!("{first}/{prefix}")));
    }
    let is_special = address.is_loopback() || address.is_link_local() || address.is_multicast();
    if is_special || (address.is_unspecified() && prefix == 32) {
        return Err(EgressError::Never(text.to_owned()));
    }
    Ok(Some(Place::Network { address, prefix }))
}

fn name(text: &str) -> Option<Place> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let (is_suffix, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What ends with a number is an address that is none.
    let is_number =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if MAX_NAME < name.len() || !name.split('.').all(is_label) || is_number {
        return None;
    }
    let name = name.to_owned();
    Some(if is_suffix { Place::Below(name) } else { Place::Name(name) })
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Name(name) => f.write_str(name)?,
            Place::Below(name) => write!(f, "*.{name}")?,
            Place::Network { address, prefix: 32 } => address.fmt(f)?,
            Place::Network { address, prefix } => write!(f, "{address}/{prefix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for Destination {
    type Error = EgressError;

    fn try_from(text: String) -> Result<Self, EgressError> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

/// Something that an instance wanted to reach and could not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Blocked {
    /// `tcp`, `udp` or another protocol; `dns` for a name that was not resolved.
    pub protocol: String,
    /// An address, or a name.
    pub host: String,
    /// The port, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn egresses_are_texts() {
        for (text, shown) in [
            ("none", Ok("none")),
            ("open", Ok("open")),
            ("allow=API.github.com", Ok("allow=api.github.com")),
            ("allow=a.b., *.c.d:443,10.0.0.0/8:5432", Ok("allow=a.b,*.c.d:443,10.0.0.0/8:5432")),
            ("allow=1.2.3.4,1.2.3.4/32:80", Ok("allow=1.2.3.4,1.2.3.4:80")),
            ("allow=0.0.0.0/0", Ok("allow=0.0.0.0/0")),
            ("allow=localhost", Ok("allow=localhost")),
            ("allow", Err("write `none`, `open`")),
            ("allow=", Err("1 to 64")),
            ("allow=a.b:0", Err("is no host")),
            ("allow=a.b:+80", Err("is no host")),
            ("allow=a b", Err("is no host")),
            ("allow=*", Err("is no host")),
            ("allow=a.*.b", Err("is no host")),
            ("allow=https://a.b", Err("is no host")),
            ("allow=1.2.3", Err("is no host")),
            ("allow=1.2.3.4/33", Err("is no host")),
            ("allow=10.1.0.0/8", Err("write `10.0.0.0/8`")),
            ("allow=::1", Err("IPv6")),
            ("allow=[2001:db8::1]:443", Err("IPv6")),
            ("allow=2001:db8::/32", Err("IPv6")),
            ("allow=127.0.0.1", Err("never be reached")),
            ("allow=169.254.169.254", Err("never be reached")),
        ] {
            let parsed =
                text.parse::<Egress>().map(|egress| egress.to_string()).map_err(|error| error.to_string());
            match (&parsed, shown) {
                (Ok(found), Ok(shown)) => assert_eq!(found, shown, "{text}"),
                (Err(found), Err(words)) => assert!(found.contains(words), "{text}: {found}"),
                _ => panic!("{text}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn names_are_of_places() {
        for (place, name, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "x.a.b", false),
            ("*.a.b", "x.a.b", true),
            ("*.a.b", "y.x.a.b", true),
            ("*.a.b", "a.b", false),
            ("*.a.b", ".a.b", false),
            ("*.a.b", "xa.b", false),
            ("1.2.3.4", "1.2.3.4", false),
        ] {
            let destination: Destination = place.parse().unwrap();
            assert_eq!(destination.place.has_name(name), expected, "{place} {name}");
        }
    }

    #[test]
    fn lists_are_json() {
        let text = r#"{"egress":"allow-list","hosts":["a.b:443","10.0.0.0/8"]}"#;
        let egress: Egress = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&egress).unwrap(), text);
        assert!(serde_json::from_str::<Egress>(r#"{"egress":"allow-list","hosts":["a b"]}"#).is_err());
    }
}

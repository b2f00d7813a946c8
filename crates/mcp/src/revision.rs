//! The dated revisions of MCP, and which one a legacy session ends up with.

/// A revision of the specification, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Revision {
    /// 2024-11-05.
    V2024_11_05,
    /// 2025-03-26, the only one with batches.
    V2025_03_26,
    /// 2025-06-18.
    V2025_06_18,
    /// 2025-11-25, the newest that opens with `initialize`.
    V2025_11_25,
    /// 2026-07-28, the first without sessions.
    V2026_07_28,
}

/// Whether a revision has sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: opens with `initialize`, has sessions.
    Legacy,
    /// From 2026-07-28: every request stands for itself.
    Modern,
}

impl Revision {
    /// Every revision, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];
    /// The newest that opens with `initialize`.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;

    /// The revision of a version text; `None` for one that is not known here.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revision| revision.text() == text)
    }

    /// Its version text.
    pub fn text(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Whether it has sessions.
    pub fn era(self) -> Era {
        if self < Self::V2026_07_28 { Era::Legacy } else { Era::Modern }
    }
}

/// Whether a version text names a revision of the modern era, also one that is not known here. Version texts are
/// dates, so their order is that of the texts.
pub fn is_modern(text: &str) -> bool {
    let is_date = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    is_date && Revision::V2026_07_28.text() <= text
}

/// The revision that answers `initialize`: the one asked for when the server speaks it, else the newest legacy one
/// that it speaks (2025-11-25, lifecycle, "Version Negotiation"). A server that negotiated one speaks the older ones too.
pub fn negotiate(asked: &str, server: Revision) -> Revision {
    let newest = server.min(Revision::NEWEST_LEGACY);
    Revision::of(asked).map_or(newest, |asked| asked.min(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiates_downwards_only() {
        let newest = Revision::NEWEST_LEGACY;
        for (asked, server, expected) in [
            ("2025-06-18", newest, Revision::V2025_06_18),
            ("2025-11-25", newest, newest),
            ("2026-07-28", newest, newest),
            ("2025-11-25", Revision::V2024_11_05, Revision::V2024_11_05),
            ("1.0", newest, newest),
            ("", Revision::V2025_03_26, Revision::V2025_03_26),
        ] {
            assert_eq!(negotiate(asked, server), expected, "{asked} at {server:?}");
        }
    }

    #[test]
    fn versions_are_dates() {
        for (text, modern) in [
            ("2026-07-28", true),
            ("2027-01-01", true),
            ("2025-11-25", false),
            ("9", false),
            ("zzzz-zz-zz", false),
        ] {
            assert_eq!(is_modern(text), modern, "{text}");
        }
        for revision in Revision::ALL {
            assert_eq!(Revision::of(revision.text()), Some(revision));
            assert_eq!(is_modern(revision.text()), revision.era() == Era::Modern);
        }
    }
}

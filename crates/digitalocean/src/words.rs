//! Words of the API that may become more: one that nobody knew when this was written survives as it came.

/// An enum of known words, with `Other` for every one that is not known.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$each])* $variant,)+
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// The word as the API has it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                match word.as_str() {
                    $($word => Self::$variant,)+
                    _ => Self::Other(word),
                }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.as_str().to_owned()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use crate::DropletStatus;

    #[test]
    fn unknown_words_survive() {
        for (json, known) in [("\"active\"", true), ("\"hibernated\"", false), ("\"\"", false)] {
            let word: DropletStatus = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&word).unwrap(), json);
            assert_eq!(matches!(word, DropletStatus::Active), known, "{json}");
        }
    }
}

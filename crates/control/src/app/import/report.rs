//! What is said of an import: a line for each row, and for each table of which nothing is made.

use domain::names::AccountName;
use serde::Serialize;
use store::older::{Generation, Older};

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is made.
    Create,
    /// It is there, and the same.
    There,
    /// It is there and something else; it stays as it is.
    Differs,
    /// It is to be given anew by a person.
    GiveAgain,
    /// Nothing is made of it.
    LeftOut,
}

impl Verdict {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 5] = [Self::Create, Self::There, Self::Differs, Self::GiveAgain, Self::LeftOut];

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::There => "there",
            Self::Differs => "differs",
            Self::GiveAgain => "give again",
            Self::LeftOut => "left out",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportLine {
    /// What becomes of it.
    pub verdict: Verdict,
    /// What it is, such as `instance`; of what nothing is made the older table.
    pub kind: &'static str,
    /// Its id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name in Berth, or what the older platform called it.
    pub name: String,
    /// The account that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// What else is worth knowing; never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What was found, and what becomes, or became, of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The generations of the older schema that were found.
    pub generations: Vec<&'static str>,
    /// Whether it was done, or is only said.
    pub applied: bool,
    /// A line for everything.
    pub lines: Vec<ReportLine>,
}

impl ImportReport {
    pub(super) fn new(older: &Older, mut lines: Vec<ReportLine>, applied: bool) -> Self {
        for unread in &older.unread {
            let rows = if unread.count == 1 { "1 row".to_owned() } else { format!("{} rows", unread.count) };
            lines.push(ReportLine {
                verdict: Verdict::LeftOut,
                kind: unread.table,
                id: unread.id.clone(),
                name: unread.id.clone().unwrap_or(rows),
                account: None,
                note: Some(unread.why.clone()),
            });
        }
        let generations = older.generations.iter().copied().map(Generation::word).collect();
        Self { generations, applied, lines }
    }

    /// How many lines have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.lines.iter().filter(|line| line.verdict == verdict).count()
    }
}

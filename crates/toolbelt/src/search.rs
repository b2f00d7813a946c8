//! Full-text search over tools, and the two tools that stand for all of them: for toolbelts that no model can look at as a whole.
//!
//! Ranked by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) over the words of names, titles, descriptions and
//! of the schema's property names and their descriptions; what stands in a name counts more.

use std::collections::HashMap;

use domain::toolbelts::Kind;
use mcp::{errors, parts};

use crate::definition;
use crate::view::{Entry, Sight, View};

/// The tool that finds tools.
pub const SEARCH: &str = "search_tools";
/// The tool that calls one.
pub const CALL: &str = "call_tool";

/// Both, as a list has them.
pub(crate) const TOOLS: &str = concat!(
    r#"{"name":"search_tools","title":"Search tools","description":"Finds tools of this server by what they do. Answers with names, descriptions and input schemas; call one of them with call_tool.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"Words that say what the tool should do, such as \"create issue\""},"limit":{"type":"integer","minimum":1,"maximum":50,"default":10,"description":"How many tools at most"}},"required":["query"]},"annotations":{"readOnlyHint":true}}"#,
    ",",
    r#"{"name":"call_tool","title":"Call a tool","description":"Calls a tool that search_tools has found.","inputSchema":{"type":"object","properties":{"name":{"type":"string","description":"The tool's name, as search_tools gives it"},"arguments":{"type":"object","description":"What the tool's input schema asks for"}},"required":["name"]}}"#
);

/// Tools that are found when nobody says how many.
const USUAL: usize = 10;
/// The most that are found.
const MOST: usize = 50;
/// A word of a name counts as so many elsewhere.
const NAME_WEIGHT: u32 = 4;
/// The saturation of BM25.
const K1: f32 = 1.2;
/// How much the length of a text counts.
const B: f32 = 0.75;
/// Levels of a schema whose properties are read.
const DEPTH: u32 = 4;

/// The words of many tools.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// For each word, in which tools it stands and how often.
    postings: HashMap<Box<str>, Vec<(u32, u32)>>,
    /// All words, sorted, for those that are not written out.
    words: Vec<Box<str>>,
    lengths: Vec<u32>,
    mean: f32,
}

impl Index {
    pub(crate) fn of(tools: &[Entry]) -> Self {
        let mut index = Self::default();
        let mut total: u64 = 0;
        for (at, tool) in tools.iter().enumerate() {
            let mut counts: HashMap<String, u32> = HashMap::new();
            let mut take = |text: &str, weight: u32| {
                words(text, &mut |word| *counts.entry(word).or_default() += weight);
            };
            take(&tool.shown, NAME_WEIGHT);
            if let Some(title) = definition::text(&tool.json, "title") {
                take(&title, NAME_WEIGHT);
            }
            if let Some(description) = definition::text(&tool.json, "description") {
                take(&description, 1);
            }
            if let Some(schema) = parts::member(&tool.json, "inputSchema") {
                properties(schema, DEPTH, &mut |text| take(text, 1));
            }
            let length: u32 = counts.values().sum();
            total += u64::from(length);
            index.lengths.push(length);
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            for (word, count) in counts {
                index.postings.entry(word.into()).or_default().push((at, count));
            }
        }
        index.words = index.postings.keys().cloned().collect();
        index.words.sort_unstable();
        index.mean = ratio(total, tools.len().max(1) as u64).max(1.0);
        index
    }

    /// Tools by their places, the best first.
    pub(crate) fn find(&self, query: &str) -> Vec<usize> {
        let mut asked = Vec::new();
        words(query, &mut |word| {
            if !asked.contains(&word) {
                asked.push(word);
            }
        });
        let mut scores: HashMap<u32, f32> = HashMap::new();
        let all = self.lengths.len() as u64;
        for word in &asked {
            // A word that stands nowhere may be the beginning of others.
            let meant: Vec<&str> = if self.postings.contains_key(word.as_str()) {
                vec![word]
            } else {
                let from = self.words.partition_point(|known| **known < **word);
                self.words[from..]
                    .iter()
                    .take_while(|known| known.starts_with(word.as_str()))
                    .map(|known| &**known)
                    .collect()
            };
            for word in meant {
                let Some(postings) = self.postings.get(word) else { continue };
                let df = postings.len() as u64;
                let idf = (1.0 + ratio(2 * (all - df) + 1, 2 * df + 1)).ln();
                for (tool, count) in postings {
                    let length = self.lengths.get(*tool as usize).copied().unwrap_or_default();
                    let count = ratio(u64::from(*count), 1);
                    let norm = K1 * (1.0 - B + B * ratio(u64::from(length), 1) / self.mean);
                    *scores.entry(*tool).or_default() += idf * count * (K1 + 1.0) / (count + norm);
                }
            }
        }
        let mut found: Vec<(u32, f32)> = scores.into_iter().collect();
        found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.into_iter().map(|(tool, _)| tool as usize).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rank needs no more than seven digits")]
fn ratio(a: u64, b: u64) -> f32 {
    a as f32 / b as f32
}

/// Words in lower case: letters and digits that stand together, and the parts of what is written `likeThis`.
fn words(text: &str, put: &mut dyn FnMut(String)) {
    let mut word = String::new();
    let mut was_lower = false;
    for character in text.chars() {
        if !character.is_alphanumeric() {
            finish(&mut word, put);
            was_lower = false;
            continue;
        }
        if was_lower && character.is_uppercase() {
            finish(&mut word, put);
        }
        was_lower = character.is_lowercase() || character.is_numeric();
        word.extend(character.to_lowercase());
    }
    finish(&mut word, put);
}

/// A plural is found by its singular, and the other way round.
fn finish(word: &mut String, put: &mut dyn FnMut(String)) {
    if word.is_empty() {
        return;
    }
    let word = std::mem::take(word);
    let singular = word.strip_suffix('s').filter(|stem| 2 < stem.len() && !stem.ends_with('s'));
    put(singular.map(str::to_owned).unwrap_or(word));
}

fn properties(schema: &str, depth: u32, put: &mut dyn FnMut(&str)) {
    if depth == 0 {
        return;
    }
    for (name, value) in parts::member(schema, "properties").and_then(parts::members).unwrap_or_default() {
        put(&name);
        if let Some(description) = definition::text(value, "description") {
            put(&description);
        }
        properties(value, depth - 1, put);
        if let Some(items) = parts::member(value, "items") {
            properties(items, depth - 1, put);
        }
    }
}

impl View {
    /// The result of a call of `search_tools` with these arguments, as JSON.
    pub fn found(&self, arguments: &str, sight: Sight<'_>) -> String {
        let Some(query) = definition::text(arguments, "query").filter(|query| !query.trim().is_empty())
        else {
            return refused("`query` must be a text with at least one word, such as \"create issue\"");
        };
        let limit = match parts::member(arguments, "limit") {
            None => USUAL,
            Some(limit) => match limit.parse::<usize>() {
                Ok(limit) if (1..=MOST).contains(&limit) => limit,
                _ => return refused(&format!("`limit` must be a whole number from 1 to {MOST}")),
            },
        };
        let tools = self.entries(Kind::Tool);
        let ranked = self.index().map(|index| index.find(&query)).unwrap_or_default();
        let seen = ranked.into_iter().filter_map(|at| tools.get(at));
        let seen = seen.filter(|tool| sight.is_none_or(|sees| sees(&self.members[tool.member], tool)));
        let found: Vec<&str> = seen.take(limit).map(|tool| &*tool.json).collect();
        let structured = format!(r#"{{"tools":[{}]}}"#, found.join(","));
        // Clients that show a model no structured content show it the text.
        let text = if found.is_empty() {
            "No tool was found. Try other words, or fewer.".to_owned()
        } else {
            structured.clone()
        };
        format!(
            r#"{{"resultType":"complete","content":[{{"type":"text","text":{}}}],"structuredContent":{structured}}}"#,
            errors::quote(&text)
        )
    }
}

/// What a tool says that could not do what it was asked (`CallToolResult.isError`).
fn refused(why: &str) -> String {
    let text = errors::quote(why);
    format!(r#"{{"resultType":"complete","isError":true,"content":[{{"type":"text","text":{text}}}]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_text() {
        let check = |text: &str, expected: &[&str]| {
            let mut found = Vec::new();
            words(text, &mut |word| found.push(word));
            assert_eq!(found, expected, "{text}");
        };
        check("create_issue", &["create", "issue"]);
        check("listPullRequests2", &["list", "pull", "requests2"]);
        check("Lists all issues, now.", &["list", "all", "issue", "now"]);
        check("class is", &["class", "is"]);
        check("Größe", &["größe"]);
        check("--", &[]);
    }
}

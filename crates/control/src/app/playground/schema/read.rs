//! From what was typed to JSON.

use super::super::json::Json;
use super::{Errors, Field, Item, Kind, Number, Text, Typed};

const NEEDED: &str = "this is needed";
const WHOLE: &str = "write a whole number, such as 42";
const NUMBER: &str = "write a number, such as 1.5";

pub(super) fn members(fields: &[Field], typed: &Typed, errors: &mut Errors) -> Vec<(String, Json)> {
    let mut members = Vec::new();
    for field in fields {
        match value(field, typed, errors) {
            Ok(Some(value)) => members.push((field.name.clone(), value)),
            Ok(None) => {}
            Err(words) => {
                errors.insert(field.path.clone(), words);
            }
        }
    }
    members
}

fn value(field: &Field, typed: &Typed, errors: &mut Errors) -> Result<Option<Json>, String> {
    let given = given(field, typed);
    let needed = || if field.required { Err(NEEDED.to_owned()) } else { Ok(None) };
    match &field.kind {
        Kind::Fixed(value) => Ok(field.required.then(|| value.clone())),
        Kind::Group(fields) => {
            if !field.required && !fields.iter().any(|field| is_touched(field, typed)) {
                return Ok(None);
            }
            Ok(Some(Json::Object(members(fields, typed, errors))))
        }
        Kind::Flag { is_box } => match given {
            "" if *is_box => Ok(Some(Json::Bool(false))),
            "" => needed(),
            "true" => Ok(Some(Json::Bool(true))),
            "false" => Ok(Some(Json::Bool(false))),
            _ => Err("choose yes or no".to_owned()),
        },
        Kind::Many(choices) => {
            let chosen = typed.get(&field.path).map(Vec::as_slice).unwrap_or_default();
            if chosen.iter().any(|value| choices.iter().all(|choice| choice.value != *value)) {
                return Err("choose of what is listed".to_owned());
            }
            if chosen.is_empty() && !field.required {
                return Ok(None);
            }
            let all = chosen.iter().filter_map(|value| Json::parse(value).ok());
            Ok(Some(Json::List(all.collect())))
        }
        Kind::Lines(item) => {
            let given = plain_breaks(given);
            let lines: Vec<&str> = given.split('\n').filter(|line| !line.is_empty()).collect();
            if lines.is_empty() && !field.required {
                return Ok(None);
            }
            let items = lines.into_iter().map(|line| of_line(*item, line));
            items.collect::<Result<_, _>>().map(Json::List).map(Some)
        }
        _ if given.is_empty() => needed(),
        Kind::Text(rule) => text(rule, given).map(Some),
        Kind::Number(rule) => number(rule, given).map(Some),
        Kind::One(choices) => {
            let chosen = choices.iter().find(|choice| choice.value == given);
            let chosen = chosen.ok_or_else(|| "choose one of what is listed".to_owned())?;
            Json::parse(&chosen.value).map(Some).map_err(|error| error.to_string())
        }
        Kind::Raw(_) if given.trim().is_empty() => needed(),
        Kind::Raw(_) => Json::parse(given).map(Some).map_err(|error| error.to_string()),
    }
}

fn given<'a>(field: &Field, typed: &'a Typed) -> &'a str {
    typed.get(&field.path).and_then(|values| values.last()).map(String::as_str).unwrap_or_default()
}

/// Whether anything of it was typed. A box that is not ticked says nothing.
fn is_touched(field: &Field, typed: &Typed) -> bool {
    match &field.kind {
        Kind::Group(fields) => fields.iter().any(|field| is_touched(field, typed)),
        Kind::Fixed(_) => false,
        _ => !given(field, typed).is_empty(),
    }
}

/// Browsers send line breaks as CR LF (HTML §4.10.21.4).
fn plain_breaks(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn of_line(item: Item, line: &str) -> Result<Json, String> {
    match (item, line.trim()) {
        (Item::Text, _) => Ok(Json::text(line)),
        (Item::Number, word) => {
            number_of(word).map(Json::Number).ok_or_else(|| format!("`{word}`: {NUMBER}"))
        }
        (Item::Whole, word) => whole_of(word).map(Json::Number).ok_or_else(|| format!("`{word}`: {WHOLE}")),
        (Item::Flag, "true") => Ok(Json::Bool(true)),
        (Item::Flag, "false") => Ok(Json::Bool(false)),
        (Item::Flag, word) => Err(format!("`{word}`: write true or false")),
    }
}

fn text(rule: &Text, given: &str) -> Result<Json, String> {
    let text = plain_breaks(given);
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if let Some(min) = rule.min.filter(|min| length < *min) {
        return Err(format!("this has {length} characters; it must have at least {min}"));
    }
    if let Some(max) = rule.max.filter(|max| *max < length) {
        return Err(format!("this has {length} characters; it may have at most {max}"));
    }
    Ok(Json::Text(text))
}

fn number(rule: &Number, given: &str) -> Result<Json, String> {
    let given = given.trim();
    let (read, words) = if rule.whole { (whole_of(given), WHOLE) } else { (number_of(given), NUMBER) };
    let digits = read.ok_or(words)?;
    let value: f64 = digits.parse().map_err(|_| words)?;
    let bound = |bound: &Option<String>| bound.as_ref().and_then(|bound| bound.parse::<f64>().ok());
    if bound(&rule.min).is_some_and(|min| value < min) {
        return Err(format!("this must be at least {}", rule.min.as_deref().unwrap_or_default()));
    }
    if bound(&rule.max).is_some_and(|max| max < value) {
        return Err(format!("this may be at most {}", rule.max.as_deref().unwrap_or_default()));
    }
    Ok(Json::Number(digits))
}

/// A number as JSON writes it, of one as people and browsers write it (HTML §2.3.4.3 takes `.5` and `05`).
fn number_of(given: &str) -> Option<String> {
    let (sign, rest) = match given.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", given.strip_prefix('+').unwrap_or(given)),
    };
    let is_own = rest.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let rest = rest.trim_start_matches('0');
    let lead = if rest.starts_with(|first: char| first.is_ascii_digit()) { "" } else { "0" };
    // Nothing but zeros, or nothing at all: which of them it was, the caller's text tells.
    if rest.is_empty() && !given.ends_with('0') {
        return None;
    }
    let text = format!("{sign}{lead}{rest}");
    let is_json = matches!(Json::parse(&text), Ok(Json::Number(read)) if read == text);
    (is_own && is_json).then_some(text)
}

/// A number without a fraction, however it is written.
fn whole_of(given: &str) -> Option<String> {
    let text = number_of(given)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    (is_plain || text.parse::<f64>().is_ok_and(|value| value.is_finite() && value.fract() == 0.0))
        .then_some(text)
}

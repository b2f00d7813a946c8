//! A form's fields as a template takes them: in a row, with where groups begin and end.

use crate::app::playground::schema::{Errors, Field, Form, Item, Kind, Typed};

/// One row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is: `open`, `close`, `input`, `area`, `box`, `select`, `many` or `fixed`.
    pub(crate) tag: &'static str,
    /// Unique in the page.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    /// What is expected beside.
    pub(crate) note: Option<String>,
    pub(crate) required: bool,
    pub(crate) value: String,
    /// Value, words, and whether it is chosen.
    pub(crate) choices: Vec<(String, String, bool)>,
    pub(crate) error: Option<String>,
    /// The type of an `input`.
    pub(crate) input: &'static str,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) shortest: Option<String>,
    pub(crate) longest: Option<String>,
    pub(crate) pattern: Option<String>,
    pub(crate) example: Option<String>,
}

impl Row {
    /// Whether the field has a text under it that describes it.
    pub(crate) fn is_described(&self) -> bool {
        self.help.is_some() || self.note.is_some() || self.error.is_some()
    }
}

/// The rows of a form, with what was typed and what is wrong with it. `prefix` makes their ids differ from those of other forms in the page.
pub(crate) fn rows(form: &Form, typed: &Typed, errors: &Errors, prefix: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    add(&form.fields, typed, errors, prefix, true, &mut rows);
    rows
}

/// Of a form whose schema is not known: what was typed, so that it is not lost.
pub(crate) fn bare(typed: &Typed, prefix: &str) -> Vec<Row> {
    let values = typed.iter().filter(|(name, values)| name.starts_with("a/") && !values.is_empty());
    let each = values.enumerate().map(|(at, (name, values))| Row {
        tag: "area",
        id: format!("{prefix}{at}"),
        name: name.clone(),
        label: name.trim_start_matches("a/").to_owned(),
        value: values.join("\n"),
        ..Row::default()
    });
    each.collect()
}

fn add(
    fields: &[Field],
    typed: &Typed,
    errors: &Errors,
    prefix: &str,
    // Whether what is required must be there: not within a group that need not.
    is_sent: bool,
    rows: &mut Vec<Row>,
) {
    for field in fields {
        let row = row(field, typed, errors, format!("{prefix}{}", rows.len()), is_sent);
        if let Kind::Group(inner) = &field.kind {
            rows.push(Row { tag: "open", ..row });
            add(inner, typed, errors, prefix, is_sent && field.required, rows);
            rows.push(Row { tag: "close", ..Row::default() });
        } else {
            rows.push(row);
        }
    }
}

fn row(field: &Field, typed: &Typed, errors: &Errors, id: String, is_sent: bool) -> Row {
    let given = typed.get(&field.path).map(Vec::as_slice).unwrap_or_default();
    let value = given.last().cloned().unwrap_or_default();
    let row = Row {
        id,
        name: field.path.clone(),
        label: field.label.clone(),
        help: field.help.clone(),
        required: field.required && is_sent,
        error: errors.get(&field.path).cloned(),
        value,
        ..Row::default()
    };
    let text = |count: Option<u64>| count.map(|count| count.to_string());
    let chosen = |value: &str| given.iter().any(|given| given == value);
    match &field.kind {
        Kind::Text(rule) => {
            // One line is enough for what has a form of its own, unless there are more lines already.
            let is_line = rule.input.is_some() || rule.example.is_some() || rule.pattern.is_some();
            let is_area = row.value.contains('\n') || !is_line;
            Row {
                tag: if is_area { "area" } else { "input" },
                input: rule.input.unwrap_or("text"),
                shortest: text(rule.min),
                longest: text(rule.max),
                pattern: rule.pattern.clone(),
                example: rule.example.map(str::to_owned),
                ..row
            }
        }
        Kind::Number(rule) => {
            let step = rule.step.clone().unwrap_or_else(|| if rule.whole { "1" } else { "any" }.to_owned());
            let (min, max) = (rule.min.clone(), rule.max.clone());
            Row { tag: "input", input: "number", min, max, step: Some(step), ..row }
        }
        Kind::Flag { is_box: true } => Row { tag: "box", ..row },
        Kind::Flag { is_box: false } => {
            let choices = [("true", "yes"), ("false", "no")];
            let choices = choices.map(|(value, words)| (value.to_owned(), words.to_owned(), chosen(value)));
            Row { tag: "select", choices: choices.into(), ..row }
        }
        Kind::One(choices) | Kind::Many(choices) => {
            let each = choices.iter().map(|of| (of.value.clone(), of.label.clone(), chosen(&of.value)));
            let tag = if matches!(field.kind, Kind::One(_)) { "select" } else { "many" };
            Row { tag, choices: each.collect(), ..row }
        }
        Kind::Lines(item) => {
            let words = match item {
                Item::Text => "One a line.",
                Item::Number => "One number a line.",
                Item::Whole => "One whole number a line.",
                Item::Flag => "true or false, one a line.",
            };
            Row { tag: "area", note: Some(words.to_owned()), required: false, ..row }
        }
        Kind::Fixed(value) => Row { tag: "fixed", value: value.compact(), ..row },
        Kind::Raw(why) => Row { tag: "area", note: Some(format!("As JSON: {why}.")), ..row },
        Kind::Group(_) => row,
    }
}

//! From JSON to what is typed.

use super::super::json::Json;
use super::{Field, Kind, Typed};

/// The defaults of all fields.
pub(super) fn untouched(fields: &[Field], typed: &mut Typed) {
    for field in fields {
        match (&field.kind, &field.default) {
            (_, Some(default)) => one(field, default, typed),
            (Kind::Group(fields), None) => untouched(fields, typed),
            _ => {}
        }
    }
}

pub(super) fn members(fields: &[Field], object: &Json, typed: &mut Typed) {
    for field in fields {
        if let Some(value) = object.get(&field.name) {
            one(field, value, typed);
        }
    }
}

/// What a value looks like when it is typed. One that the field is not for is typed somehow: whoever has to be sure reads it back.
fn one(field: &Field, value: &Json, typed: &mut Typed) {
    let texts = match (&field.kind, value) {
        (Kind::Group(fields), value) => return members(fields, value, typed),
        (Kind::Many(_), Json::List(items)) => items.iter().map(Json::compact).collect(),
        (Kind::Lines(_), Json::List(items)) => {
            let lines: Vec<String> = items.iter().map(shown).collect();
            vec![lines.join("\n")]
        }
        (Kind::One(_) | Kind::Many(_), value) => vec![value.compact()],
        (Kind::Raw(_), value) => vec![value.pretty()],
        (_, value) => vec![shown(value)],
    };
    typed.insert(field.path.clone(), texts);
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.compact(), str::to_owned)
}

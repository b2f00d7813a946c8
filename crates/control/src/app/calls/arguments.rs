//! Parameters of a call as they are kept: as JSON, without the values of secrets.

use domain::secret::Secret;
use serde_json::Value;

/// What stands in the place of a secret.
const SECRET: &str = "[secret]";

/// The parameters, with each secret's value replaced wherever it is, and without `_meta`, which is the transport's.
pub(super) fn without(text: &str, secrets: &[Secret]) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else { return omitted("they cannot be read") };
    let mut values: Vec<&str> =
        secrets.iter().map(Secret::expose).filter(|value| !value.is_empty()).collect();
    // One that is part of another must not leave the rest of it.
    values.sort_unstable_by_key(|value| std::cmp::Reverse(value.len()));
    if let Value::Object(members) = &mut value {
        members.remove("_meta");
    }
    hide(&mut value, &values);
    value.to_string()
}

/// A text in the place of parameters that are not kept.
pub(super) fn omitted(why: &str) -> String {
    Value::from(format!("(not kept: {why})")).to_string()
}

fn hide(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            let text = number.to_string();
            if secrets.iter().any(|secret| text.contains(secret)) {
                *value = Value::from(SECRET);
            }
        }
        Value::String(text) => replace(text, secrets),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secrets)),
        Value::Object(members) => {
            for (mut key, mut value) in std::mem::take(members) {
                replace(&mut key, secrets);
                hide(&mut value, secrets);
                members.insert(key, value);
            }
        }
    }
}

fn replace(text: &mut String, secrets: &[&str]) {
    for secret in secrets {
        if text.contains(secret) {
            *text = text.replace(secret, SECRET);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_however_they_are_written() {
        let secrets = ["hunter2", "hunter2-and-more", "12345", "a\"b\n", ""].map(Secret::new);
        let check = |text: &str, expected: &str| {
            let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(value(&without(text, &secrets)), value(expected), "{text}");
        };
        check(r#"{"name":"x","arguments":{"a":1.50}}"#, r#"{"name":"x","arguments":{"a":1.5}}"#);
        check(r#"{"a":"Bearer hunter2!"}"#, r#"{"a":"Bearer [secret]!"}"#);
        check(r#"{"a":["\u0068unter2"]}"#, r#"{"a":["[secret]"]}"#);
        check(r#"{"a":"hunter2-and-more"}"#, r#"{"a":"[secret]"}"#);
        check(r#"{"xhunter2":{"hunter2":null}}"#, r#"{"x[secret]":{"[secret]":null}}"#);
        check(r#"{"a":12345,"b":9123456}"#, r#"{"a":"[secret]","b":"[secret]"}"#);
        check(r#"{"a":"a\"b\n"}"#, r#"{"a":"[secret]"}"#);
        check(r#"{"_meta":{"progressToken":"hunter2"},"a":1}"#, r#"{"a":1}"#);
        check("not json", r#""(not kept: they cannot be read)""#);
    }
}

//! The page with the form: what it asks for, with what was typed.

use api::catalog::{Input, InputFormat, InputTarget};
use api::environments::Environment;
use domain::secret::Secrets;
use domain::status::EnvironmentStatus;

use super::fields::{Fields, SECRET, SET, VAULT};
use crate::web::notice::Notice;
use crate::web::words::bytes;

/// A choice: its word, what people read, whether it is chosen.
pub(super) type Choice = (String, String, bool);

/// One setting or secret of the entry.
pub(super) struct Setting {
    /// Of its field in the page.
    pub(super) id: String,
    pub(super) field: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) value: String,
    pub(super) placeholder: String,
    pub(super) is_required: bool,
    pub(super) is_secret: bool,
    /// Whether a secret was typed before, and need not be again.
    pub(super) is_kept: bool,
    /// Of a choice its choices; else empty.
    pub(super) choices: Vec<Choice>,
    /// `number` or `text`.
    pub(super) kind: &'static str,
    /// What its text must look like (HTML's `pattern`), and that in words.
    pub(super) pattern: Option<(&'static str, &'static str)>,
    /// Secrets of the account that it could be, and the field for them; empty: none could.
    pub(super) vault_field: String,
    pub(super) vault: Vec<Choice>,
    /// The field of the request that it is.
    pub(super) path: String,
}

impl Setting {
    pub(super) fn of(at: usize, input: &Input, fields: &Fields, kept: &Secrets, vault: &[String]) -> Self {
        let field = format!("{}{}", if input.secret { SECRET } else { SET }, input.name);
        let vault_field = format!("{VAULT}{}", input.name);
        let typed = if input.secret { "" } else { fields.one(&field) };
        let value = if typed.is_empty() { input.default.as_deref().unwrap_or_default() } else { typed };
        let words: Vec<&str> = match input.format {
            InputFormat::Boolean => vec!["true", "false"],
            _ => input.choices.iter().map(String::as_str).collect(),
        };
        let mut choices: Vec<Choice> =
            words.iter().map(|&word| (word.to_owned(), word.to_owned(), word == value)).collect();
        let has_value = input.required && input.default.is_some();
        if !choices.is_empty() && !has_value {
            choices.insert(0, (String::new(), "Choose".to_owned(), value.is_empty()));
        }
        // One that is a part of a longer value cannot follow the account's.
        let is_whole = matches!(input.target, InputTarget::Env { .. } | InputTarget::Header { .. });
        let chosen = fields.one(&vault_field);
        let vault = if input.secret && is_whole && !vault.is_empty() {
            let all = vault.iter().map(|name| (name.clone(), name.clone(), name == chosen));
            std::iter::once((String::new(), "type it".to_owned(), chosen.is_empty())).chain(all).collect()
        } else {
            Vec::new()
        };
        let is_kept = input.secret && kept.contains_key(&input.name);
        Self {
            id: format!("setting-{at}"),
            name: input.name.clone(),
            description: input.description.clone(),
            value: if input.secret { String::new() } else { value.to_owned() },
            placeholder: input.placeholder.clone().unwrap_or_default(),
            is_required: input.required && input.default.is_none() && vault.is_empty() && !is_kept,
            is_secret: input.secret,
            is_kept,
            choices,
            kind: if input.format == InputFormat::Number { "number" } else { "text" },
            pattern: (input.format == InputFormat::Filepath).then_some((
                "[^\\/].*",
                "a relative path inside the instance's own directory, such as notes",
            )),
            vault_field,
            vault,
            path: format!("{}.{}", if input.secret { "secrets" } else { "settings" }, input.name),
            field,
        }
    }
}

/// A row of a custom server's secrets.
pub(super) struct Row {
    pub(super) at: usize,
    pub(super) key: String,
    pub(super) is_kept: bool,
    pub(super) vault: Vec<Choice>,
}

/// The rows that were filled in, and some that are empty.
pub(super) fn rows(fields: &Fields, kept: &Secrets, vault: &[String], more: usize) -> Vec<Row> {
    let filled = fields.rows().into_iter().filter(|(key, ..)| !key.is_empty());
    let mut rows: Vec<(String, String)> =
        filled.map(|(key, _, vault)| (key.to_owned(), vault.to_owned())).collect();
    rows.extend((0..more).map(|_| (String::new(), String::new())));
    let row = |(at, (key, chosen)): (usize, (String, String))| Row {
        at,
        is_kept: kept.contains_key(&key),
        key,
        vault: std::iter::once((String::new(), "type it".to_owned(), chosen.is_empty()))
            .chain(vault.iter().map(|name| (name.clone(), name.clone(), *name == chosen)))
            .collect(),
    };
    rows.into_iter().enumerate().map(row).collect()
}

/// The environments with their room and price.
pub(super) fn environments(all: &[Environment], chosen: &str) -> Vec<Choice> {
    let mut choices = vec![];
    for environment in all {
        let name = environment.name.to_string();
        let mut words = vec![];
        if let Some(system) = &environment.system {
            let free = system.memory.total_bytes.saturating_sub(system.memory.used_bytes);
            words.push(format!("{} of {} free", bytes(free), bytes(system.memory.total_bytes)));
            words.push(format!("CPU {:.0} %", system.cpu_load_percent.clamp(0.0, 100.0)));
        }
        words.push(format!(
            "{} instance{}",
            environment.instances,
            if environment.instances == 1 { "" } else { "s" }
        ));
        if let Some(droplet) = &environment.droplet {
            words.push(format!("${:.2} a month", droplet.price_monthly));
        }
        if environment.status != EnvironmentStatus::Active {
            words.push("not heard at the moment".to_owned());
        }
        if environment.cordoned {
            words.push("takes nothing new".to_owned());
        }
        choices.push((name.clone(), format!("{name} ({})", words.join(", ")), name == chosen));
    }
    if 1 < all.len() {
        choices.insert(0, ("auto".to_owned(), "The machine with most room".to_owned(), chosen == "auto"));
    }
    choices
}

/// What is wrong, at the field that it is wrong with.
pub(super) struct Wrong {
    field: Option<String>,
    words: String,
}

impl Wrong {
    pub(super) fn of(notice: Option<&Notice>) -> Self {
        let field = notice.and_then(|notice| notice.field.as_deref());
        // `args[2]` is a line of the field `args`.
        let field = field.map(|field| field.split('[').next().unwrap_or_default().to_owned());
        let words = notice.map(|notice| notice.words.clone()).unwrap_or_default();
        Self { field, words }
    }

    pub(super) fn at(&self, field: impl AsRef<str>) -> Option<&str> {
        (self.field.as_deref() == Some(field.as_ref())).then_some(self.words.as_str())
    }

    /// Whether it is in a part of the form that is folded away otherwise.
    pub(super) fn is_in(&self, fields: &[&str]) -> bool {
        self.field.as_deref().is_some_and(|own| fields.contains(&own))
    }
}

//! The page before something is destroyed: it says what, and its one form does it.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use crate::web::shell::Shell;
use crate::web::shell_page;

/// A form that has nothing but the session's text.
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm<'a> {
    shell: Shell,
    title: &'a str,
    words: &'a [String],
    button: &'a str,
    back: &'a str,
}

/// Asks. `words` say what is lost, `back` is the path in the account that one comes from.
pub(crate) fn confirm(shell: Shell, title: &str, words: &[String], (button, back): (&str, &str)) -> Response {
    shell_page(&Confirm { shell, title, words, button, back })
}

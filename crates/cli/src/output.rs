//! The only place that prints. Data goes to standard output, everything said along the way to standard error.
//!
//! Colour never carries a meaning alone and is off when `NO_COLOR` is set, when `TERM` is `dumb` or when the
//! stream is no terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};
use domain::status::InstanceStatus;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::CliError;

/// How a command speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    colour_out: bool,
    colour_err: bool,
}

#[expect(clippy::unused_self, reason = "only who was handed the writer prints")]
impl Output {
    /// Looks at the two streams and the environment once.
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let out = std::io::stdout().is_terminal();
        let err = std::io::stderr().is_terminal();
        Self { json, colour_out: out && !plain, colour_err: err && !plain }
    }

    /// Whether programs read what is printed.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    /// Prints text to standard output, with a line end when it has none.
    pub(crate) fn data(self, text: &str) -> Result<(), CliError> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        written(write!(std::io::stdout().lock(), "{text}{end}"))
    }

    /// Prints bytes to standard output as they are and flushes: for streams.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Prints one JSON document, indented.
    pub(crate) fn document(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| CliError::because("the answer cannot be written as JSON", e))?;
        self.data(&text)
    }

    /// Prints one line of JSON Lines.
    pub(crate) fn line(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value)
            .map_err(|e| CliError::because("the answer cannot be written as JSON", e))?;
        self.data(&text)
    }

    /// Asks on the terminal; anything but a yes is an error. Where nobody can be asked, `unasked` is.
    pub(crate) fn confirm(self, question: &str, unasked: CliError) -> Result<(), CliError> {
        if !std::io::stdin().is_terminal() {
            return Err(unasked);
        }
        self.say(&format!("{question} [y/N]"));
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|e| CliError::because("cannot read the answer", e))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(CliError::failed("nothing was removed")),
        }
    }

    /// Prints rows for people. An empty table prints nothing.
    pub(crate) fn table<const N: usize>(self, head: [&str; N], rows: Vec<[Cell; N]>) -> Result<(), CliError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if !self.colour_out {
            table.force_no_tty();
        }
        if !std::io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(head.map(|h| Cell::new(h).add_attribute(Attribute::Bold)));
        for row in rows {
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
            column.set_cell_alignment(CellAlignment::Left);
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        self.data(&lines.join("\n"))
    }

    /// Says one line on standard error.
    pub(crate) fn say(self, text: &str) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Says what to do next.
    pub(crate) fn hint(self, text: &str) {
        let head = if self.colour_err { "\x1b[1;36mhint:\x1b[0m" } else { "hint:" };
        self.say(&format!("{head} {text}"));
    }

    /// Says what is not as it should be, though the command goes on.
    pub(crate) fn warn(self, text: &str) {
        let head = if self.colour_err { "\x1b[1;33mwarning:\x1b[0m" } else { "warning:" };
        self.say(&format!("{head} {text}"));
    }

    /// Says why the command failed: the message, its causes and the next step.
    pub(crate) fn error(self, error: &CliError) {
        if matches!(error, CliError::BrokenPipe | CliError::Said) {
            return;
        }
        let head = if self.colour_err { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
        self.say(&format!("{head} {error}"));
        let mut shown = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            // Some libraries repeat their cause in their own message.
            if !shown.contains(&text) {
                self.say(&format!("  because: {text}"));
                shown.push_str(&text);
            }
            cause = inner.source();
        }
        if let Some(hint) = error.hint() {
            self.hint(hint);
        }
    }

    /// Steps of something that takes a while: one living line on a terminal, one line per step elsewhere.
    pub(crate) fn steps(self) -> Steps {
        let bar = self.colour_err.then(|| {
            let bar = ProgressBar::new(100).with_style(style("{spinner} {msg}"));
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Steps { output: self, bar, last: String::new(), said: None }
    }
}

/// See [`Output::steps`].
#[derive(Debug)]
pub(crate) struct Steps {
    output: Output,
    bar: Option<ProgressBar>,
    last: String,
    said: Option<Instant>,
}

/// Where every step is a line, the details of one are not said more often than this.
const DETAIL_EVERY: Duration = Duration::from_secs(3);

impl Steps {
    /// Shows a step; one that is shown already is not repeated.
    pub(crate) fn show(&mut self, step: &str, percent: Option<u8>) {
        if let Some(bar) = &self.bar {
            match percent {
                Some(percent) => {
                    bar.set_style(style("{spinner} {msg} {bar:24} {pos}%"));
                    bar.set_position(u64::from(percent.min(100)));
                }
                None => bar.set_style(style("{spinner} {msg} {elapsed:.dim}")),
            }
            bar.set_message(step.to_owned());
        } else if self.last != step {
            self.output.say(step);
        }
        step.clone_into(&mut self.last);
        self.said = Some(Instant::now());
    }

    /// Shows how far the step is. Where nothing lives, most of it is left out: a log is read later.
    pub(crate) fn detail(&mut self, step: &str, percent: Option<u8>) {
        if self.bar.is_some() || self.said.is_none_or(|said| DETAIL_EVERY <= said.elapsed()) {
            self.show(step, percent);
        }
    }

    /// Takes the living line away.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A state as a cell: the word always, a colour where there is one.
pub(crate) fn status_cell(status: InstanceStatus) -> Cell {
    let cell = Cell::new(status.word());
    match status {
        InstanceStatus::Running => cell.fg(Color::Green),
        InstanceStatus::Asleep => cell.fg(Color::Cyan),
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => cell.fg(Color::Red),
        InstanceStatus::Stopped => cell.fg(Color::DarkGrey),
        _ => cell.fg(Color::Yellow),
    }
}

/// A broken pipe is not a failure: `berth list | head -1` has got what it wanted.
fn written(result: std::io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::BrokenPipe,
        _ => CliError::because("cannot write to standard output", error),
    })
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

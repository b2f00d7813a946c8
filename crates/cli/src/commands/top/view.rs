//! How it looks.

use domain::status::{EnvironmentStatus, InstanceStatus};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Row, Table};

use super::picture::{self, Machine};
use super::state::State;

/// The heads of the columns of machines.
pub(super) const MACHINES: [&str; 5] = ["ENVIRONMENT", "STATUS", "INSTANCES", "CPU", "MEMORY"];
/// The heads of the columns of instances.
pub(super) const INSTANCES: [&str; 8] =
    ["INSTANCE", "ENVIRONMENT", "STATUS", "CPU", "MEMORY", "CALLS/S", "ERRORS", "P95"];
/// Machines that are shown; the list of instances needs the rest of the screen.
const MOST_MACHINES: usize = 8;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let machines = state.picture.environments.len().min(MOST_MACHINES);
    let [head, above, below, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(machines + 2).unwrap_or(2)),
        Constraint::Min(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let rows = state.rows();
    let count = rows.len();
    let of = state.picture.instances.len();
    let title = if count == of {
        format!("berth · {of} instances")
    } else {
        format!("berth · {count} of {of} instances")
    };
    let title = match &state.trouble {
        Some(trouble) => Line::from(format!("{title} · {trouble}")).fg(Color::Red),
        None => Line::from(format!("{title} · {}", state.picture.at)),
    };
    frame.render_widget(Paragraph::new(title.bold()), head);

    let machine_rows = state.picture.environments.iter().take(MOST_MACHINES).map(|one| {
        let [name, status, instances, cpu, memory] = machine(one);
        Row::new([
            name.into(),
            Line::from(status).style(tone_of_machine(one.status)),
            instances.into(),
            cpu.into(),
            memory.into(),
        ])
    });
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(18),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(22),
    ];
    let table = Table::new(machine_rows, widths).header(header(&MACHINES, None));
    frame.render_widget(table, above);

    let instance_rows: Vec<Row<'_>> = rows
        .iter()
        .map(|one| {
            let mut cells = instance(one).map(Line::from);
            cells[2] = std::mem::take(&mut cells[2]).style(tone(one.status));
            for cell in &mut cells[3..] {
                *cell = std::mem::take(cell).right_aligned();
            }
            Row::new(cells)
        })
        .collect();
    let widths = [
        Constraint::Fill(3),
        Constraint::Fill(2),
        Constraint::Length(15),
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(8),
    ];
    let table = Table::new(instance_rows, widths)
        .header(header(&INSTANCES, Some((state.sort.column(), state.is_reversed))))
        .row_highlight_style(Modifier::REVERSED);
    frame.render_stateful_widget(table, below, &mut state.table);

    let foot_text = if state.is_typing || !state.filter.is_empty() {
        let cursor = if state.is_typing { "▏" } else { "" };
        format!("filter: {}{cursor}   Enter keeps it, Esc clears it", state.filter)
    } else {
        "/ filter   sort: n e s c m r f p   ↑ ↓ scroll   q end".to_owned()
    };
    frame.render_widget(Paragraph::new(foot_text).dim(), foot);
}

fn header<'a>(words: &[&'a str], sorted: Option<(usize, bool)>) -> Row<'a> {
    let cells = words.iter().enumerate().map(|(i, word)| match sorted {
        Some((column, is_reversed)) if column == i => {
            let mark = if is_reversed { '▲' } else { '▼' };
            Line::from(format!("{word}{mark}"))
        }
        _ => Line::from(*word),
    });
    let cells = cells
        .enumerate()
        .map(|(i, cell)| if words.len() == INSTANCES.len() && 3 <= i { cell.right_aligned() } else { cell });
    Row::new(cells.collect::<Vec<_>>())
        .style(Style::new().bold())
        .top_margin(u16::from(sorted.is_some() || words.len() == MACHINES.len()))
}

/// The cells of a machine.
pub(super) fn machine(one: &Machine) -> [String; 5] {
    let memory = match (one.memory_used_bytes, one.memory_total_bytes) {
        (Some(used), Some(total)) => format!("{} of {}", bytes(used), bytes(total)),
        _ => "-".to_owned(),
    };
    [
        one.name.clone(),
        one.status.to_string(),
        one.instances.to_string(),
        one.cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.0} %")),
        memory,
    ]
}

/// The cells of an instance.
pub(super) fn instance(one: &picture::Row) -> [String; 8] {
    let or_none =
        |figure: Option<u64>, write: fn(u64) -> String| figure.map_or_else(|| "-".to_owned(), write);
    [
        one.name.clone(),
        one.environment.clone(),
        one.status.to_string(),
        or_none(one.cpu_millicores, |millicores| {
            format!("{}.{:02}", millicores / 1000, millicores % 1000 / 10)
        }),
        or_none(one.memory_bytes, bytes),
        format!("{:.1}", one.calls_per_second),
        one.errors.to_string(),
        or_none(one.p95_us, took),
    ]
}

/// Colours repeat the word and mean nothing alone.
fn tone(status: InstanceStatus) -> Style {
    match status {
        InstanceStatus::Running => Color::Green.into(),
        InstanceStatus::Asleep => Color::Cyan.into(),
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => Color::Red.into(),
        InstanceStatus::Stopped => Color::DarkGray.into(),
        _ => Color::Yellow.into(),
    }
}

fn tone_of_machine(status: EnvironmentStatus) -> Style {
    match status {
        EnvironmentStatus::Active => Color::Green.into(),
        EnvironmentStatus::Creating
        | EnvironmentStatus::Provisioning
        | EnvironmentStatus::AwaitingHeartbeat => Color::Yellow.into(),
        _ => Color::Red.into(),
    }
}

fn bytes(count: u64) -> String {
    match count {
        ..1_048_576 => format!("{} KiB", count >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", count >> 20),
        _ => format!("{}.{} GiB", count >> 30, (count >> 20) % 1024 * 10 / 1024),
    }
}

fn took(micros: u64) -> String {
    match micros {
        ..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::commands::top::picture::Picture;
    use crate::commands::top::state::Next;
    use crate::error::CliError;

    fn row(name: &str, status: InstanceStatus, cpu: u64, calls_per_second: f64) -> picture::Row {
        picture::Row {
            name: name.to_owned(),
            environment: "local".to_owned(),
            status,
            message: None,
            cpu_millicores: Some(cpu),
            memory_bytes: Some(40 << 20),
            calls_per_second,
            errors: 0,
            p95_us: Some(12_000),
        }
    }

    fn state() -> State {
        let machine = Machine {
            name: "local".to_owned(),
            status: EnvironmentStatus::Active,
            instances: 3,
            cpu_percent: Some(12.4),
            memory_used_bytes: Some(3 << 29),
            memory_total_bytes: Some(8 << 30),
        };
        let instances = vec![
            row("clock", InstanceStatus::Running, 250, 0.5),
            row("docs", InstanceStatus::ErrorRuntime, 0, 0.0),
            row("search", InstanceStatus::Running, 900, 12.0),
        ];
        State::new(Picture { environments: vec![machine], instances, ..Picture::default() }, String::new())
    }

    fn lines(state: &mut State) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(100, 12)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer();
        let line =
            |y: u16| (0..100).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..12).map(line).collect()
    }

    fn press(state: &mut State, keys: &str) -> Next {
        keys.chars()
            .fold(Next::Go, |_, key| state.press(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)))
    }

    /// The first words of the rows of instances.
    fn names(state: &mut State) -> Vec<String> {
        let lines = lines(state);
        let head = lines.iter().position(|line| line.starts_with("INSTANCE")).unwrap();
        let rows = lines[head + 1..].iter().take_while(|line| !line.is_empty());
        rows.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    }

    #[test]
    fn everything_is_on_one_screen() {
        let lines = lines(&mut state());
        let text = lines.join("\n");
        assert!(lines[0].starts_with("berth · 3 instances"), "{text}");
        let machine = lines.iter().find(|line| line.starts_with("local")).unwrap();
        for word in ["active", "12 %", "1.5 GiB of 8.0 GiB"] {
            assert!(machine.contains(word), "{word}: {text}");
        }
        let search = lines.iter().find(|line| line.starts_with("search")).unwrap();
        for word in ["local", "running", "0.90", "40 MiB", "12.0", "12 ms"] {
            assert!(search.contains(word), "{word}: {text}");
        }
        assert!(lines[11].contains("/ filter"), "{text}");
    }

    #[test]
    fn keys_sort_and_filter() {
        let mut state = state();
        assert_eq!(names(&mut state), ["clock", "docs", "search"]);
        press(&mut state, "n");
        assert_eq!(names(&mut state), ["search", "docs", "clock"]);
        press(&mut state, "c");
        assert_eq!(names(&mut state), ["search", "clock", "docs"]);
        press(&mut state, "c");
        assert_eq!(names(&mut state), ["docs", "clock", "search"]);
        press(&mut state, "s");
        assert_eq!(names(&mut state), ["docs", "clock", "search"]);
        // While one types, letters are words.
        assert_eq!(press(&mut state, "/RUNN q"), Next::Go);
        assert!(names(&mut state).is_empty());
        let key = |state: &mut State, code| state.press(KeyEvent::new(code, KeyModifiers::NONE));
        key(&mut state, KeyCode::Backspace);
        key(&mut state, KeyCode::Enter);
        assert_eq!(names(&mut state), ["clock", "search"]);
        assert_eq!(key(&mut state, KeyCode::Esc), Next::Go);
        assert_eq!(names(&mut state).len(), 3);
        assert_eq!(key(&mut state, KeyCode::Esc), Next::End);
        assert_eq!(press(&mut state, "q"), Next::End);
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.press(ctrl_c), Next::End);
    }

    #[test]
    fn what_is_wrong_is_said_and_the_last_picture_stays() {
        let mut state = state();
        state.take(Err(CliError::failed("no Berth answers")));
        let lines = lines(&mut state);
        assert!(lines[0].contains("no Berth answers"), "{lines:?}");
        assert_eq!(names(&mut state).len(), 3);
        state.take(Ok(Picture::default()));
        assert!(names(&mut state).is_empty());
    }
}

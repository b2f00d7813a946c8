//! What is looked at and how: the order, the filter, where one is in the list. Keys change it.

use std::cmp::Ordering;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use super::picture::{Picture, Row};
use crate::error::CliError;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To go on.
    Go,
    /// To end.
    End,
}

/// What the list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Environment,
    Status,
    Cpu,
    Memory,
    Calls,
    Errors,
    P95,
}

impl Sort {
    /// The one of a key.
    fn of(key: char) -> Option<Self> {
        Some(match key {
            'n' => Self::Name,
            'e' => Self::Environment,
            's' => Self::Status,
            'c' => Self::Cpu,
            'm' => Self::Memory,
            'r' => Self::Calls,
            'f' => Self::Errors,
            'p' => Self::P95,
            _ => return None,
        })
    }

    /// Its column.
    pub(super) fn column(self) -> usize {
        match self {
            Self::Name => 0,
            Self::Environment => 1,
            Self::Status => 2,
            Self::Cpu => 3,
            Self::Memory => 4,
            Self::Calls => 5,
            Self::Errors => 6,
            Self::P95 => 7,
        }
    }

    /// Words from A, figures from the largest.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Self::Name => a.name.cmp(&b.name),
            Self::Environment => a.environment.cmp(&b.environment),
            Self::Status => a.status.word().cmp(b.status.word()),
            Self::Cpu => b.cpu_millicores.cmp(&a.cpu_millicores),
            Self::Memory => b.memory_bytes.cmp(&a.memory_bytes),
            Self::Calls => b.calls_per_second.total_cmp(&a.calls_per_second),
            Self::Errors => b.errors.cmp(&a.errors),
            Self::P95 => b.p95_us.cmp(&a.p95_us),
        }
    }
}

/// What is looked at.
#[derive(Debug)]
pub(super) struct State {
    pub(super) picture: Picture,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    pub(super) filter: String,
    /// Keys are words of the filter.
    pub(super) is_typing: bool,
    /// Why the picture is not new.
    pub(super) trouble: Option<String>,
    pub(super) table: TableState,
}

impl State {
    pub(super) fn new(picture: Picture, filter: String) -> Self {
        Self {
            picture,
            sort: Sort::Name,
            is_reversed: false,
            filter,
            is_typing: false,
            trouble: None,
            table: TableState::default(),
        }
    }

    /// A new picture, or why there is none; then the last stays.
    pub(super) fn take(&mut self, asked: Result<Picture, CliError>) {
        match asked {
            Ok(picture) => (self.picture, self.trouble) = (picture, None),
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }

    /// The instances that are wanted, in their order.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.picture.instances.iter().filter(|row| row.has(&self.filter)).collect();
        rows.sort_by(|a, b| {
            let order = self.sort.compare(a, b);
            let order = if self.is_reversed { order.reverse() } else { order };
            order.then_with(|| a.name.cmp(&b.name))
        });
        rows
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Next::End } else { Next::Go };
        }
        match key.code {
            KeyCode::Down => self.table.select_next(),
            KeyCode::Up => self.table.select_previous(),
            KeyCode::PageDown => self.table.scroll_down_by(10),
            KeyCode::PageUp => self.table.scroll_up_by(10),
            KeyCode::Home => self.table.select_first(),
            KeyCode::End => self.table.select_last(),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc if self.is_typing || !self.filter.is_empty() => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace if self.is_typing => drop(self.filter.pop()),
            KeyCode::Char(letter) if self.is_typing => self.filter.push(letter),
            KeyCode::Esc | KeyCode::Char('q') => return Next::End,
            KeyCode::Char('/') => self.is_typing = true,
            KeyCode::Char(letter) => {
                if let Some(sort) = Sort::of(letter) {
                    self.is_reversed = sort == self.sort && !self.is_reversed;
                    self.sort = sort;
                }
            }
            _ => {}
        }
        Next::Go
    }
}

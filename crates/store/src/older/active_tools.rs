//! `account_tool_environment_active_tools`: the generation before its table was renamed. What runs is in `runtime_details` too, which is
//! the host's affair; `enabled` says what is wanted.

use super::Tables;
use super::instances::take_row;
use super::model::{Generation, Older};

const TABLE: &str = "account_tool_environment_active_tools";

pub(super) fn take(tables: &Tables, older: &mut Older) {
    if !tables.has(TABLE) {
        return;
    }
    older.generations.insert(Generation::ActiveTools);
    let newer: Vec<_> = older.instances.iter().map(|row| row.id).collect();
    for row in tables.rows(TABLE) {
        // A database that was migrated by copying has both.
        if row.id("id").is_some_and(|id| newer.contains(&id)) {
            continue;
        }
        take_row(row, older);
    }
}

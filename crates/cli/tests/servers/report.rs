//! `docs/servers.md`: what was seen of each server of the catalog.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::cases::Expected;
use crate::proof::Row;

const HEAD: &str = "\
# The servers of the built-in catalog

Each was deployed by its name on one machine, as its registry has it, and asked the same by a client of either era. The process
of a server speaks one revision with Berth; clients of the other era are translated. *Installed* counts from `berth deploy` to the
package being in place, downloads among it; *started* from there to the server's first MCP answer.

| server | version | SDK | its eras | revision | tools | call | client of 2025-06-18 | client of 2026-07-28 | installed | started |
|---|---|---|---|---|--:|---|---|---|--:|--:|
";

const TAIL: &str = "
`isError`: the tool answered that it has no browser. Playwright and Chrome DevTools bring none, and none is installed for this
table; `--set executable=PATH` names one below `/usr`. Notion, Context7 and Fetch were asked for pages of the test's own, PostgreSQL
was a real one.

Made by `BERTH_WRITE_DOCS=1 cargo xtask test --full every_server_of_the_catalog` with a debug build; the same test without the
variable only checks.

## Container tools

They speak no MCP: `berth status NAME` shows the ports that they are reached on. Each runs its official image of a major version.

| tool | image | on the host | keeps | takes |
|---|---|---|---|---|
| nginx | `docker.io/library/nginx:1` | `127.0.0.1:8080` | nothing | |
| postgres | `docker.io/library/postgres:17` | `127.0.0.1:5432` | its data | `--secret POSTGRES_PASSWORD=@FILE`, `--set POSTGRES_USER=…`, `--set POSTGRES_DB=…` |
| redis | `docker.io/library/redis:8` | `127.0.0.1:6379` | its data | |

`--publish` takes the place of an entry's ports, `--volume` of its volumes, `--health` of its check, `--profile` of its profile. Redis
has no password by itself: publish it for other machines only with one, in a configuration of your own.
";

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/servers.md")
}

/// Writes the file.
pub(crate) fn write(rows: &[Row]) {
    let mut text = HEAD.to_owned();
    for row in rows {
        let answer = match row.case.expected {
            Expected::Result(_) => "result",
            Expected::ToolError(_) => "`isError`",
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | `{}` | {answer} | {answer} | {:.1} s | {} ms |",
            row.case.entry,
            row.version,
            row.sdk,
            row.case.eras,
            row.revision,
            row.tools,
            row.case.tool,
            row.install.as_secs_f64(),
            row.start.as_millis(),
        )
        .expect("a text takes it");
    }
    text.push_str(TAIL);
    std::fs::create_dir_all(file().parent().expect("it lies in a directory")).expect("the directory docs");
    std::fs::write(file(), text).expect("docs/servers.md");
}

/// The servers that the file tells of.
pub(crate) fn told() -> BTreeSet<String> {
    let text = std::fs::read_to_string(file()).expect("docs/servers.md");
    let rows = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let names = rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    names.map(|name| name.trim().to_owned()).collect()
}

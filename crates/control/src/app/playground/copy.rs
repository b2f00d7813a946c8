//! A call as a line for a shell.

use std::fmt::Write as _;

use http::HeaderMap;

/// `berth call`.
pub(crate) fn berth(instance: &str, tool: &str, arguments: &str) -> String {
    // What begins with a dash would be an option.
    let end = if tool.starts_with('-') { "-- " } else { "" };
    let arguments = if arguments == "{}" { String::new() } else { format!(" {}", quoted(arguments)) };
    format!("berth call {end}{instance} {}{arguments}", quoted(tool))
}

/// `curl`, with the token in `$BERTH_TOKEN`.
pub(crate) fn curl(url: &str, headers: &HeaderMap, message: &str) -> String {
    let mut line = format!("curl -sS -N {} \\\n  -H \"Authorization: Bearer $BERTH_TOKEN\"", quoted(url));
    for (name, value) in headers {
        let header = format!("{name}: {}", value.to_str().unwrap_or_default());
        // Writing to a String cannot fail.
        let _ = write!(line, " \\\n  -H {}", quoted(&header));
    }
    let _ = write!(line, " \\\n  --data-raw {}", quoted(message));
    line
}

/// A word of a POSIX shell (XCU 2.2.2): in single quotes nothing is special, and none stand in them.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use http::HeaderValue;

    use super::*;

    const WORDS: &[&str] = &[
        "plain",
        "with space",
        "it's",
        "''",
        "\"",
        "$HOME `id` $(id)",
        "a\\b\\",
        "line\nbreak",
        "!event",
        "~",
        "*",
        "#x",
        "-x",
        "é😀",
        ";rm -rf x",
        "{}",
        "",
    ];

    /// The words that a shell makes of a line whose program is `program`.
    fn words(shell: &str, program: &str, line: &str) -> Vec<String> {
        let script = format!("BERTH_TOKEN=t; {program}() {{ printf '%s\\0' \"$@\"; }}; {line}");
        let output = Command::new(shell).args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn shells_read_what_was_meant() {
        for word in WORDS {
            for shell in ["sh", "bash"] {
                let arguments = format!("{{\"a\":\"{word}\"}}");
                let found = words(shell, "berth", &berth("one", word, &arguments));
                let found: Vec<&str> =
                    found.iter().map(String::as_str).filter(|word| *word != "--").collect();
                assert_eq!(found, ["call", "one", word, &arguments]);

                let mut headers = HeaderMap::new();
                let value = mcp::headers::encoded(word);
                headers.insert("mcp-name", HeaderValue::try_from(value.as_ref()).unwrap());
                let found = words(shell, "curl", &curl("https://x.example/mcp/a/b", &headers, word));
                let name = format!("mcp-name: {value}");
                let expected = [
                    "-sS",
                    "-N",
                    "https://x.example/mcp/a/b",
                    "-H",
                    "Authorization: Bearer t",
                    "-H",
                    &name,
                    "--data-raw",
                    word,
                ];
                assert_eq!(found, expected);
            }
        }
        assert_eq!(berth("one", "t", "{}"), "berth call one t");
        assert_eq!(berth("one", "-t", "{}"), "berth call -- one -t");
    }
}

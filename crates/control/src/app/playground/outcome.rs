//! What a call gave, in the parts that are shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::Json;

/// The longest text that is shown whole, in bytes.
pub(crate) const LONGEST_SHOWN: usize = 32 << 10;
/// The largest image or sound that is put into a page, in characters of Base64.
const LARGEST_INLINE: usize = 4 << 20;
/// So many parts are shown.
const MOST: usize = 200;
/// The pictures that a page shows. In an `img` none of them runs anything.
const PICTURES: &[&str] =
    &["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/svg+xml"];
const SOUNDS: &[&str] = &[
    "audio/wav",
    "audio/x-wav",
    "audio/mpeg",
    "audio/mp3",
    "audio/ogg",
    "audio/webm",
    "audio/mp4",
    "audio/aac",
    "audio/flac",
];
/// HTML of an app (MCP Apps, 2026-01-26), and what another vendor's clients call it.
const APPS: &[&str] = &["text/html;profile=mcp-app", "text/html+skybridge"];

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A text; `left_out` bytes of its end are not here.
    Text { text: String, left_out: usize },
    /// As a `data:` address.
    Picture { source: String },
    /// The same.
    Sound { source: String, mime: String },
    /// Bytes that no page shows.
    Bytes { mime: String, size: usize },
    /// An address that the server names.
    Link { uri: String, name: String, description: String, mime: Option<String> },
    /// A resource within the answer.
    Embedded { uri: String, mime: Option<String>, inner: Box<Part> },
    /// Anything else, as JSON.
    Other { text: String, left_out: usize },
}

/// A message of a prompt, or one that a server wants an answer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// `user` or `assistant`.
    pub(crate) role: String,
    pub(crate) parts: Vec<Part>,
}

/// The result of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Whether the tool says that it failed.
    pub(crate) is_error: bool,
    /// Of a prompt.
    pub(crate) messages: Vec<Message>,
    /// Of a tool or resource.
    pub(crate) parts: Vec<Part>,
    /// `structuredContent`.
    pub(crate) structured: Option<(String, usize)>,
    /// How many parts are not shown.
    pub(crate) more: usize,
}

impl Shown {
    /// Of the result of `tools/call`, `prompts/get` or `resources/read`.
    pub(crate) fn of(result: &Json) -> Self {
        let blocks = result.list_of("content");
        let contents = result.list_of("contents");
        let parts = blocks.iter().map(block).chain(contents.iter().map(content));
        let known = ["content", "contents", "messages", "structuredContent"];
        let mut shown = Self {
            is_error: result.bool_of("isError") == Some(true),
            messages: result.list_of("messages").iter().take(MOST).map(message).collect(),
            parts: parts.take(MOST).collect(),
            structured: result.get("structuredContent").map(|json| cut(json.pretty())),
            more: (blocks.len() + contents.len()).saturating_sub(MOST),
        };
        if known.iter().all(|key| result.get(key).is_none()) {
            shown.parts.push(other(result));
        }
        shown
    }
}

/// The bytes of a part of a result, and what they are: for a download.
pub(crate) fn bytes_of(result: &Json, at: usize) -> Option<(String, Vec<u8>)> {
    let (blocks, contents) = (result.list_of("content"), result.list_of("contents"));
    let block = blocks.iter().chain(contents).nth(at)?;
    let block = block.get("resource").unwrap_or(block);
    if let Some(text) = block.str_of("text") {
        return Some(("text/plain".to_owned(), text.as_bytes().to_vec()));
    }
    let data = block.str_of("data").or_else(|| block.str_of("blob"))?;
    let mime = block.str_of("mimeType").unwrap_or("application/octet-stream");
    Some((mime.to_owned(), STANDARD.decode(data).ok()?))
}

/// The HTML of an app among a resource's contents.
pub(crate) fn app_of(result: &Json) -> Option<String> {
    let is_app = |mime: &str| APPS.contains(&mime.replace(' ', "").to_ascii_lowercase().as_str());
    let of = result.list_of("contents").iter().find(|of| of.str_of("mimeType").is_some_and(is_app))?;
    let coded = || String::from_utf8(STANDARD.decode(of.str_of("blob")?).ok()?).ok();
    of.str_of("text").map(str::to_owned).or_else(coded)
}

pub(super) fn message(of: &Json) -> Message {
    let content = match of.get("content") {
        Some(Json::List(blocks)) => blocks.iter().take(MOST).map(block).collect(),
        Some(one) => vec![block(one)],
        None => Vec::new(),
    };
    Message { role: of.str_of("role").unwrap_or("?").to_owned(), parts: content }
}

fn block(of: &Json) -> Part {
    let text = |key: &str| of.str_of(key).unwrap_or_default().to_owned();
    match of.str_of("type") {
        Some("text") if of.str_of("text").is_some() => {
            let (text, left_out) = cut(text("text"));
            Part::Text { text, left_out }
        }
        Some("image" | "audio") if of.str_of("data").is_some() => coded(&text("mimeType"), &text("data")),
        Some("resource_link") if of.str_of("uri").is_some() => Part::Link {
            uri: text("uri"),
            name: of.str_of("title").or(of.str_of("name")).unwrap_or_default().to_owned(),
            description: text("description"),
            mime: of.str_of("mimeType").map(str::to_owned),
        },
        Some("resource") if of.get("resource").is_some() => {
            of.get("resource").map_or_else(|| other(of), content)
        }
        _ => other(of),
    }
}

fn content(of: &Json) -> Part {
    let mime = of.str_of("mimeType").map(str::to_owned);
    let inner = if let Some(text) = of.str_of("text") {
        let (text, left_out) = cut(text.to_owned());
        Part::Text { text, left_out }
    } else if let Some(blob) = of.str_of("blob") {
        coded(mime.as_deref().unwrap_or("application/octet-stream"), blob)
    } else {
        other(of)
    };
    Part::Embedded { uri: of.str_of("uri").unwrap_or_default().to_owned(), mime, inner: Box::new(inner) }
}

fn coded(mime: &str, data: &str) -> Part {
    let data: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let is_coded = data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    let mime = mime.to_ascii_lowercase();
    if is_coded && data.len() <= LARGEST_INLINE {
        let source = format!("data:{mime};base64,{data}");
        if PICTURES.contains(&&*mime) {
            return Part::Picture { source };
        }
        if SOUNDS.contains(&&*mime) {
            return Part::Sound { source, mime };
        }
    }
    Part::Bytes { mime, size: data.len() / 4 * 3 }
}

fn other(of: &Json) -> Part {
    let (text, left_out) = cut(of.pretty());
    Part::Other { text, left_out }
}

/// A text of a length that a page can show, and how many bytes are left out.
pub(crate) fn cut(mut text: String) -> (String, usize) {
    let mut end = text.len().min(LONGEST_SHOWN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let left_out = text.len() - end;
    text.truncate(end);
    (text, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(blocks: &str) -> Vec<Part> {
        Shown::of(&Json::parse(&format!(r#"{{"content":{blocks}}}"#)).unwrap()).parts
    }

    #[test]
    fn blocks_become_parts() {
        let check =
            |block: &str, expected: Part| assert_eq!(parts(&format!("[{block}]")), [expected], "{block}");
        let text = |text: &str| Part::Text { text: text.to_owned(), left_out: 0 };
        check(r#"{"type":"text","text":"<b>"}"#, text("<b>"));
        check(
            r#"{"type":"image","mimeType":"image/PNG","data":"AA\n=="}"#,
            Part::Picture { source: "data:image/png;base64,AA==".to_owned() },
        );
        check(
            r#"{"type":"audio","mimeType":"audio/wav","data":"AA=="}"#,
            Part::Sound { source: "data:audio/wav;base64,AA==".to_owned(), mime: "audio/wav".to_owned() },
        );
        // What is no picture is none, whatever it says.
        for (mime, data) in [("text/html", "AA=="), ("image/png", "\\\" onerror=x"), ("image/png,x", "AA==")]
        {
            let found = parts(&format!(r#"[{{"type":"image","mimeType":"{mime}","data":"{data}"}}]"#));
            assert!(matches!(found[0], Part::Bytes { .. }), "{found:?}");
        }
        check(
            r#"{"type":"resource","resource":{"uri":"a:b","mimeType":"text/x","text":"t"}}"#,
            Part::Embedded {
                uri: "a:b".to_owned(),
                mime: Some("text/x".to_owned()),
                inner: Box::new(text("t")),
            },
        );
        for odd in [r#"{"type":"text"}"#, r#"{"type":"new"}"#, "1", "null"] {
            assert!(matches!(parts(&format!("[{odd}]"))[0], Part::Other { .. }), "{odd}");
        }
    }

    #[test]
    fn results_of_each_kind() {
        let of = |text: &str| Shown::of(&Json::parse(text).unwrap());
        assert!(of(r#"{"content":[],"isError":true}"#).is_error);
        let prompt = of(r#"{"messages":[{"role":"user","content":{"type":"text","text":"hi"}}]}"#);
        assert_eq!((prompt.messages.len(), &*prompt.messages[0].role), (1, "user"));
        let read = of(r#"{"contents":[{"uri":"a","blob":"AA==","mimeType":"application/pdf"}]}"#);
        assert!(
            matches!(&read.parts[0], Part::Embedded { inner, .. } if matches!(**inner, Part::Bytes { .. }))
        );
        let big = r#"{"structuredContent":{"n":123456789012345678901}}"#;
        assert!(of(big).structured.unwrap().0.contains("123456789012345678901"));
        assert!(matches!(of("{}").parts[0], Part::Other { .. }));
        let many = format!(r#"{{"content":[{}]}}"#, vec!["1"; 300].join(","));
        assert_eq!((of(&many).parts.len(), of(&many).more), (200, 100));
    }

    #[test]
    fn large_texts_are_cut_and_downloaded_whole() {
        let text = "é".repeat(LONGEST_SHOWN);
        let result = Json::object([(
            "content",
            Json::List(vec![Json::object([("type", Json::text("text")), ("text", Json::text(&*text))])]),
        )]);
        let Part::Text { text: shown, left_out } = &Shown::of(&result).parts[0] else { panic!("a text") };
        assert_eq!((shown.len(), *left_out), (LONGEST_SHOWN, LONGEST_SHOWN));
        assert_eq!(bytes_of(&result, 0), Some(("text/plain".to_owned(), text.into_bytes())));
        assert_eq!(bytes_of(&result, 1), None);
    }

    #[test]
    fn apps_are_known_by_their_type() {
        let of = |mime: &str| {
            let text = format!(r#"{{"contents":[{{"uri":"ui://x","mimeType":"{mime}","text":"<p>"}}]}}"#);
            app_of(&Json::parse(&text).unwrap())
        };
        assert_eq!(of("text/html;profile=mcp-app").as_deref(), Some("<p>"));
        assert_eq!(of("text/html; profile=mcp-app").as_deref(), Some("<p>"));
        assert_eq!(of("text/html+skybridge").as_deref(), Some("<p>"));
        assert_eq!(of("text/html"), None);
        assert_eq!(of("text/plain"), None);
    }
}

//! What a server offers: tools, prompts, resources. Whatever a server says of itself is a text of a stranger's.

use super::json::Json;

/// So many of each kind are shown.
const MOST: usize = 2000;

/// Everything that is listed, or why a kind is not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    pub(crate) tools: Vec<Tool>,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) templates: Vec<Template>,
}

/// A tool.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    pub(crate) schema: Json,
    pub(crate) hints: Hints,
    /// The resource that shows its results (MCP Apps).
    pub(crate) ui: Option<String>,
}

/// What a tool says that it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) reads_only: bool,
    pub(crate) destroys: bool,
    pub(crate) repeatable: bool,
    pub(crate) goes_out: bool,
}

/// A prompt.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    /// Its arguments, as a schema of texts.
    pub(crate) schema: Json,
}

/// A resource.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) uri: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) mime: Option<String>,
}

/// A template of resources.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) template: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// What is put into it, as a schema of texts.
    pub(crate) schema: Json,
}

fn text(of: &Json, key: &str) -> String {
    of.str_of(key).unwrap_or_default().to_owned()
}

fn title(of: &Json) -> Option<String> {
    let own = of.str_of("title").or_else(|| of.get("annotations")?.str_of("title"));
    own.map(str::trim)
        .filter(|title| !title.is_empty() && Some(*title) != of.str_of("name"))
        .map(str::to_owned)
}

/// Items of a list that are what they should be; others are left out.
pub(super) fn each<T>(items: &[Json], read: impl Fn(&Json) -> Option<T>) -> Vec<T> {
    items.iter().take(MOST).filter_map(read).collect()
}

pub(super) fn tool(of: &Json) -> Option<Tool> {
    let said = |key: &str| of.get("annotations").and_then(|said| said.bool_of(key));
    let reads_only = said("readOnlyHint") == Some(true);
    let meta = of.get("_meta");
    let ui = meta.and_then(|meta| {
        // Under these names before 2026-01-26, and in another vendor's clients.
        let older = || meta.str_of("ui/resourceUri").or_else(|| meta.str_of("openai/outputTemplate"));
        meta.get("ui").and_then(|ui| ui.str_of("resourceUri")).or_else(older)
    });
    Some(Tool {
        name: of.str_of("name")?.to_owned(),
        title: title(of),
        description: text(of, "description"),
        schema: of.get("inputSchema").cloned().unwrap_or(Json::Object(Vec::new())),
        hints: Hints {
            reads_only,
            destroys: said("destructiveHint") == Some(true) && !reads_only,
            repeatable: said("idempotentHint") == Some(true) && !reads_only,
            goes_out: said("openWorldHint") == Some(true),
        },
        ui: ui.filter(|uri| uri.starts_with("ui://")).map(str::to_owned),
    })
}

pub(super) fn prompt(of: &Json) -> Option<Prompt> {
    let arguments = of.list_of("arguments").iter().filter_map(|argument| {
        let name = argument.str_of("name")?;
        let mut schema = vec![("type".to_owned(), Json::text("string"))];
        for key in ["title", "description"] {
            schema.extend(argument.str_of(key).map(|text| (key.to_owned(), Json::text(text))));
        }
        Some((name, argument.bool_of("required") == Some(true), Json::Object(schema)))
    });
    let (mut properties, mut required) = (Vec::new(), Vec::new());
    for (name, is_required, schema) in arguments {
        properties.push((name, schema));
        required.extend(is_required.then(|| Json::text(name)));
    }
    Some(Prompt {
        name: of.str_of("name")?.to_owned(),
        title: title(of),
        description: text(of, "description"),
        schema: Json::object([("properties", Json::object(properties)), ("required", Json::List(required))]),
    })
}

pub(super) fn resource(of: &Json) -> Option<Resource> {
    let uri = of.str_of("uri")?;
    Some(Resource {
        uri: uri.to_owned(),
        name: title(of).unwrap_or_else(|| of.str_of("name").unwrap_or(uri).to_owned()),
        description: text(of, "description"),
        mime: of.str_of("mimeType").map(str::to_owned),
    })
}

pub(super) fn template(of: &Json) -> Option<Template> {
    let template = of.str_of("uriTemplate")?;
    let names = parts(template).into_iter().filter_map(|part| match part {
        Part::Variable(name, _) => Some(name),
        Part::Text(_) => None,
    });
    let properties: Vec<(String, Json)> =
        names.map(|name| (name.to_owned(), Json::object([("type", Json::text("string"))]))).collect();
    let required = properties.iter().map(|(name, _)| Json::text(name)).collect();
    Some(Template {
        template: template.to_owned(),
        name: title(of).unwrap_or_else(|| of.str_of("name").unwrap_or(template).to_owned()),
        description: text(of, "description"),
        schema: Json::object([("properties", Json::Object(properties)), ("required", Json::List(required))]),
    })
}

/// A piece of a template.
enum Part<'a> {
    Text(&'a str),
    /// Its name, and whether it keeps what addresses are made of (RFC 6570 §3.2.2, §3.2.3).
    Variable(&'a str, bool),
}

fn parts(template: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while !rest.is_empty() {
        let (text, inside) = rest.split_once('{').unwrap_or((rest, ""));
        if !text.is_empty() {
            parts.push(Part::Text(text));
            rest = &rest[text.len()..];
            continue;
        }
        let (name, after) = inside.split_once('}').unwrap_or((inside, ""));
        rest = after;
        let (name, keeps) = name.strip_prefix('+').map_or((name, false), |name| (name, true));
        parts.push(Part::Variable(name.trim_end_matches('*'), keeps));
    }
    parts
}

/// The address that a template makes of values.
pub(crate) fn expanded(template: &str, values: &Json) -> String {
    let mut uri = String::new();
    for part in parts(template) {
        match part {
            Part::Text(text) => uri.push_str(text),
            Part::Variable(name, keeps) => {
                for byte in values.str_of(name).unwrap_or_default().bytes() {
                    let is_own = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                    if is_own || (keeps && b":/?#[]@!$&'()*+,;=%".contains(&byte)) {
                        uri.push(char::from(byte));
                    } else {
                        uri.push_str(&format!("%{byte:02X}"));
                    }
                }
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_say_what_they_do() {
        let check = |annotations: &str, expected: [bool; 4]| {
            let tool = tool(&Json::parse(&format!(r#"{{"name":"t","annotations":{annotations}}}"#)).unwrap())
                .unwrap();
            let Hints { reads_only, destroys, repeatable, goes_out } = tool.hints;
            assert_eq!([reads_only, destroys, repeatable, goes_out], expected, "{annotations}");
        };
        check("null", [false; 4]);
        check("{}", [false; 4]);
        check(
            r#"{"readOnlyHint":true,"destructiveHint":true,"idempotentHint":true}"#,
            [true, false, false, false],
        );
        check(r#"{"destructiveHint":true,"openWorldHint":true}"#, [false, true, false, true]);
        check(r#"{"destructiveHint":"yes","idempotentHint":true}"#, [false, false, true, false]);
    }

    #[test]
    fn an_app_is_a_resource_of_the_server() {
        let check = |meta: &str, expected: Option<&str>| {
            let tool = tool(&Json::parse(&format!(r#"{{"name":"t","_meta":{meta}}}"#)).unwrap()).unwrap();
            assert_eq!(tool.ui.as_deref(), expected, "{meta}");
        };
        check(r#"{"ui":{"resourceUri":"ui://x/y"}}"#, Some("ui://x/y"));
        check(r#"{"ui/resourceUri":"ui://x"}"#, Some("ui://x"));
        check(r#"{"openai/outputTemplate":"ui://x"}"#, Some("ui://x"));
        check(r#"{"ui":{"resourceUri":"https://evil.example"}}"#, None);
        check("1", None);
    }

    #[test]
    fn templates_are_filled_in() {
        let check = |template: &str, values: &str, expected: &str| {
            assert_eq!(expanded(template, &Json::parse(values).unwrap()), expected);
        };
        check("test://template/{id}/data", r#"{"id":"a b/é"}"#, "test://template/a%20b%2F%C3%A9/data");
        check("file:///{+path}", r#"{"path":"a/b c?"}"#, "file:///a/b%20c?");
        check("x{a}{b*}", r#"{"a":"1","b":"2"}"#, "x12");
        check("plain", "{}", "plain");
        check("x{a", r#"{"a":"1"}"#, "x1");
        check("{}", "{}", "");
        let template = template(&Json::parse(r#"{"uriTemplate":"a://{x}/{+y}"}"#).unwrap()).unwrap();
        assert_eq!(template.schema.members_of("properties").len(), 2);
    }

    #[test]
    fn what_is_no_tool_is_left_out() {
        let items = Json::parse(r#"[1,{"name":1},{"name":"a"},null,{"title":"x"}]"#).unwrap();
        let Json::List(items) = items else { unreachable!() };
        assert_eq!(each(&items, tool).len(), 1);
        assert_eq!(
            (each(&items, resource).len(), each(&items, template).len(), each(&items, prompt).len()),
            (0, 0, 1)
        );
    }
}

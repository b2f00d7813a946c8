//! Schemas of real servers, schemas that mean harm, and the way to a form and back.

use proptest::prelude::*;

use super::super::json::Json;
use super::{Field, Form, Kind, Typed};

fn form(schema: &str) -> Form {
    Form::of(&Json::parse(schema).unwrap(), "a")
}

fn typed(pairs: &[(&str, &str)]) -> Typed {
    let mut typed = Typed::new();
    for (path, value) in pairs {
        typed.entry((*path).to_owned()).or_default().push((*value).to_owned());
    }
    typed
}

/// A form in one line: `name!` is required.
fn shown(fields: &[Field]) -> String {
    let one = |field: &Field| {
        let kind = match &field.kind {
            Kind::Text(rule) => rule.input.map_or_else(|| "text".to_owned(), str::to_owned),
            Kind::Number(rule) => if rule.whole { "whole" } else { "number" }.to_owned(),
            Kind::Flag { is_box } => if *is_box { "box" } else { "flag" }.to_owned(),
            Kind::One(choices) => format!("one of {}", choices.len()),
            Kind::Many(choices) => format!("many of {}", choices.len()),
            Kind::Lines(item) => format!("lines of {item:?}"),
            Kind::Group(fields) => format!("({})", shown(fields)),
            Kind::Fixed(value) => format!("= {}", value.compact()),
            Kind::Raw(_) => "raw".to_owned(),
        };
        format!("{}{} {kind}", field.name, if field.required { "!" } else { "" })
    };
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn schemas_become_fields() {
    let check = |properties: &str, expected: &str| {
        let schema = format!(
            r##"{{"type":"object","required":["r"],"properties":{{{properties}}},"$defs":{{
                "s":{{"type":"string"}},"node":{{"type":"object","properties":{{"next":{{"$ref":"#/$defs/node"}}}}}},
                "a/b c":{{"$anchor":"here","type":"integer"}},"loop":{{"$ref":"#/$defs/loop"}}}}}}"##
        );
        assert_eq!(shown(&form(&schema).fields), expected, "{properties}");
    };
    check("", "");
    check(r#""r":{"type":"string"},"o":{"type":"integer"}"#, "r! text, o whole");
    check(
        r#""o":{"type":"number"},"r":{"type":"boolean"},"p":{"type":"boolean"}"#,
        "r! box, o number, p flag",
    );
    check(r#""o":{"type":"string","format":"email"},"u":{"type":"string","format":"uri"}"#, "o email, u url");
    check(r#""o":{"enum":["a",2,null]},"r":{"const":1},"c":{"const":1}"#, "r! = 1, o one of 3, c one of 1");
    check(r#""o":{"oneOf":[{"const":"a","title":"A"},{"const":"b"}]}"#, "o one of 2");
    check(r#""o":{"oneOf":[{"type":"string"},{"type":"integer"}]}"#, "o raw");
    check(r#""o":{"type":["string","integer"]},"p":{"type":["string","null"]}"#, "o raw, p text");
    check(r#""o":{"anyOf":[{"type":"integer"},{"type":"null"}],"default":null}"#, "o whole");
    check(r##""o":{"anyOf":[{"$ref":"#/$defs/s"},{"type":"null"}]}"##, "o text");
    check(r#""o":{"type":"array","items":{"type":"string"}}"#, "o lines of Text");
    check(r#""o":{"type":"array","items":{"enum":["x","y"]}},"p":{"type":"array"}"#, "o many of 2, p raw");
    check(r#""o":{"type":"array","items":{"anyOf":[{"const":1},{"const":2}]}}"#, "o many of 2");
    check(r#""o":{"type":"array","items":{"type":"object"}}"#, "o raw");
    check(r#""o":{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"]}"#, "o (x! flag)");
    check(r#""r":{"properties":{"x":{"type":"boolean"}},"required":["x"]}"#, "r! (x! box)");
    check(r#""o":{"type":"object"},"p":{},"q":true"#, "o raw, p raw, q raw");
    let nested = r#""o":{"properties":{"o":{"properties":{"o":{"properties":{"o":{"type":"string"}}}}}}}"#;
    check(nested, "o (o (o raw))");
    check(
        r##""o":{"$ref":"#/$defs/s"},"p":{"$ref":"#/$defs/a~1b%20c"},"q":{"$ref":"#here"}"##,
        "o text, p whole, q whole",
    );
    check(r##""o":{"$ref":"#/$defs/node"},"p":{"$ref":"#/$defs/loop"}"##, "o (next raw), p raw");
    check(
        r##""o":{"$ref":"#"},"p":{"$ref":"https://x.example/s.json"},"q":{"$ref":"#/nothing"}"##,
        "o (o raw, p raw, q raw), p raw, q raw",
    );
    check(r#""o":{"allOf":[{"type":"string"}],"title":"T"}"#, "o text");
}

#[test]
fn a_large_schema_gives_no_large_form() {
    let many: Vec<String> = (0..5000).map(|at| format!(r#""p{at}":{{"type":"string"}}"#)).collect();
    let large = form(&format!(r#"{{"properties":{{{}}}}}"#, many[..500].join(",")));
    assert_eq!(
        large.fields.iter().filter(|field| !matches!(field.kind, Kind::Raw(_))).count(),
        super::MOST_FIELDS
    );
    let choices: Vec<String> = (0..5000).map(|at| at.to_string()).collect();
    let schema = format!(r#"{{"properties":{{"a":{{"type":"integer","enum":[{}]}}}}}}"#, choices.join(","));
    assert_eq!(shown(&form(&schema).fields), "a whole");
}

const SCHEMA: &str = r#"{"properties":{
    "text":{"type":"string","minLength":2,"maxLength":4},"long":{"type":"string"},"whole":{"type":"integer","minimum":0,"exclusiveMaximum":1000},
    "big":{"type":"integer"},"number":{"type":"number"},"flag":{"type":"boolean"},"one":{"enum":["a",1,null]},
    "many":{"type":"array","items":{"enum":["x","y"]}},"words":{"type":"array","items":{"type":"string"}},
    "numbers":{"type":"array","items":{"type":"integer"}},"any":{},
    "group":{"type":"object","required":["in"],"properties":{"in":{"type":"string"},"also":{"type":"string"}}},
    "we/ird~":{"type":"string"}}}"#;

#[test]
fn what_is_typed_becomes_json() {
    let check = |pairs: &[(&str, &str)], expected: &str| {
        let (object, errors) = form(SCHEMA).read(&typed(pairs));
        assert!(errors.is_empty(), "{pairs:?}: {errors:?}");
        assert_eq!(object.compact(), expected, "{pairs:?}");
    };
    check(&[], "{}");
    check(&[("a/text", ""), ("a/flag", ""), ("a/words", "\r\n"), ("a/any", " "), ("other", "x")], "{}");
    check(&[("a/text", "äöü")], r#"{"text":"äöü"}"#);
    check(&[("a/long", " a\r\nb\rc\n")], r#"{"long":" a\nb\nc\n"}"#);
    check(&[("a/big", "123456789012345678901234567890")], r#"{"big":123456789012345678901234567890}"#);
    check(&[("a/big", " -007 ")], r#"{"big":-7}"#);
    check(&[("a/big", "1e3")], r#"{"big":1e3}"#);
    check(&[("a/whole", "0")], r#"{"whole":0}"#);
    check(&[("a/number", "+.5")], r#"{"number":0.5}"#);
    check(&[("a/number", "-0.10e+5")], r#"{"number":-0.10e+5}"#);
    check(&[("a/flag", "false"), ("a/one", "null")], r#"{"flag":false,"one":null}"#);
    check(&[("a/one", "\"a\""), ("a/many", "\"y\""), ("a/many", "\"x\"")], r#"{"one":"a","many":["y","x"]}"#);
    check(&[("a/words", " a \r\n\r\n<b>")], r#"{"words":[" a ","<b>"]}"#);
    check(&[("a/numbers", "1\n 2 \n")], r#"{"numbers":[1,2]}"#);
    check(&[("a/any", "{\"b\" : [1]}")], r#"{"any":{"b":[1]}}"#);
    check(&[("a/group/in", "x")], r#"{"group":{"in":"x"}}"#);
    check(&[("a/we~1ird~0", "x")], r#"{"we/ird~":"x"}"#);
}

#[test]
fn what_is_wrong_is_told_at_its_field() {
    let check = |pairs: &[(&str, &str)], path: &str, words: &str| {
        let (object, errors) = form(SCHEMA).read(&typed(pairs));
        assert!(errors.get(path).is_some_and(|told| told.contains(words)), "{pairs:?}: {errors:?}");
        assert_eq!((errors.len(), object.get("text")), (1, None), "{pairs:?}");
    };
    check(&[("a/text", "ä")], "a/text", "1 characters; it must have at least 2");
    check(&[("a/text", "12345")], "a/text", "at most 4");
    for wrong in ["x", "1.5", "e5", "-e5", "-", "0x10", "1_000", "1 2", "NaN", "Infinity", "--1", "1e999"] {
        check(&[("a/big", wrong)], "a/big", "whole number");
    }
    for wrong in ["x", ".", "1,5", "1.", "e", "+"] {
        check(&[("a/number", wrong)], "a/number", "a number");
    }
    check(&[("a/whole", "-1")], "a/whole", "at least 0");
    check(&[("a/whole", "1000")], "a/whole", "at most 999");
    check(&[("a/flag", "maybe")], "a/flag", "yes or no");
    check(&[("a/one", "\"b\"")], "a/one", "listed");
    check(&[("a/many", "\"z\"")], "a/many", "listed");
    check(&[("a/numbers", "1\nx")], "a/numbers", "`x`");
    check(&[("a/any", "{")], "a/any", "line 1");
    check(&[("a/group/also", "x")], "a/group/in", "needed");
    let required = form(
        r#"{"required":["a","b","c"],"properties":{"a":{"type":"string"},"b":{"type":"boolean"},"c":{}}}"#,
    );
    let (object, errors) = required.read(&Typed::new());
    assert_eq!(object.compact(), r#"{"b":false}"#);
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["a/a", "a/c"]);
}

#[test]
fn defaults_are_typed_already() {
    let form = form(
        r#"{"properties":{"name":{"type":"string","default":"John"},"age":{"type":"integer","default":30},
            "status":{"enum":["active","pending"],"default":"active"},"ok":{"type":"boolean","default":true},
            "tags":{"type":"array","items":{"type":"string"},"default":["a","b"]},"none":{"type":"string","default":null},
            "in":{"properties":{"deep":{"type":"number","default":1.50}}}}}"#,
    );
    let (object, errors) = form.read(&form.untouched());
    assert!(errors.is_empty(), "{errors:?}");
    let expected =
        r#"{"name":"John","age":30,"status":"active","ok":true,"tags":["a","b"],"in":{"deep":1.50}}"#;
    assert_eq!(object.compact(), expected);
}

#[test]
fn what_a_form_cannot_show_stays_json() {
    let check = |object: &str, ok: bool| {
        let shown = form(SCHEMA).show(&Json::parse(object).unwrap());
        assert_eq!(shown.is_some(), ok, "{object}");
    };
    check("{}", true);
    check(r#"{"text":"abc","group":{"in":"x"},"any":[1,{"x":null}],"numbers":[1]}"#, true);
    for object in [
        r#"{"unknown":1}"#,
        r#"{"text":""}"#,
        r#"{"text":null}"#,
        r#"{"long":"a\r\nb"}"#,
        r#"{"words":[]}"#,
        r#"{"words":[""]}"#,
        r#"{"words":["a\nb"]}"#,
        r#"{"group":{}}"#,
        r#"{"group":{"in":"x","more":1}}"#,
        r#"{"big":"1"}"#,
        r#"{"one":"b"}"#,
        "[]",
        "1",
    ] {
        check(object, false);
    }
}

/// A schema, and a value that a form of it can show.
fn pair(depth: u32) -> BoxedStrategy<(Json, Json)> {
    let of = |word: &str| Json::object([("type", Json::text(word))]);
    let number = "-?(0|[1-9][0-9]{0,30})";
    let word = "[ -~äé😀]{0,5}[!-~äé😀]";
    let leaf = prop_oneof![
        word.prop_map(move |text| (of("string"), Json::Text(text))),
        number.prop_map(move |digits| (of("integer"), Json::Number(digits))),
        "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?(e[+-]?[0-9]{1,2})?"
            .prop_map(move |digits| (of("number"), Json::Number(digits))),
        any::<bool>().prop_map(move |value| (of("boolean"), Json::Bool(value))),
        proptest::collection::vec(word, 1..4).prop_map(move |items| {
            let schema = Json::object([("type", Json::text("array")), ("items", of("string"))]);
            (schema, Json::List(items.into_iter().map(Json::Text).collect()))
        }),
        (proptest::collection::hash_set(word, 1..5), any::<prop::sample::Index>()).prop_map(|(words, at)| {
            let words: Vec<Json> = words.into_iter().map(Json::Text).collect();
            let chosen = words[at.index(words.len())].clone();
            (Json::object([("enum", Json::List(words))]), chosen)
        }),
        number.prop_map(|digits| (Json::Object(vec![]), Json::List(vec![Json::Null, Json::Number(digits)]))),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let member = ("[a-z/~<\" é]{1,6}", pair(depth - 1), any::<bool>());
    let object = proptest::collection::vec(member, 1..4).prop_map(|members| {
        let (mut properties, mut required, mut value) = (vec![], vec![], vec![]);
        for (name, (schema, inner), is_required) in members {
            if properties.iter().any(|(known, _)| *known == name) {
                continue;
            }
            properties.push((name.clone(), schema));
            value.push((name.clone(), inner));
            if is_required {
                required.push(Json::Text(name));
            }
        }
        let schema = Json::object([
            ("type", Json::text("object")),
            ("properties", Json::Object(properties)),
            ("required", Json::List(required)),
        ]);
        (schema, Json::Object(value))
    });
    prop_oneof![1 => leaf, 3 => object].boxed()
}

/// Any JSON, with the words that schemas are made of.
fn anything() -> impl Strategy<Value = Json> {
    let word = prop::sample::select(vec![
        "type",
        "properties",
        "items",
        "enum",
        "const",
        "oneOf",
        "anyOf",
        "allOf",
        "$ref",
        "$defs",
        "required",
        "default",
        "string",
        "object",
        "array",
        "integer",
        "#",
        "#/properties/a",
        "#/$defs/a",
        "a",
        "minimum",
        "pattern",
        "null",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        "-?[1-9][0-9]{0,20}".prop_map(Json::Number),
        word.clone().prop_map(Json::text),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::List),
            proptest::collection::vec((word.clone(), inner), 0..6).prop_map(Json::object),
        ]
    })
}

proptest! {
    #[test]
    fn a_form_gives_back_what_it_shows((schema, value) in pair(3)) {
        let schema = Json::object([("properties", Json::object([("x", schema)]))]);
        let form = Form::of(&schema, "a");
        let value = Json::object([("x", value)]);
        let shown = form.show(&value);
        prop_assert!(shown.is_some(), "{} {}", schema.compact(), value.compact());
        let (read, errors) = form.read(&shown.unwrap());
        prop_assert!(errors.is_empty(), "{errors:?}");
        prop_assert!(read.is_same(&value), "{}", read.compact());
    }

    #[test]
    fn no_schema_is_too_odd(schema in anything(), value in anything()) {
        let form = Form::of(&schema, "a");
        let (object, _) = form.read(&form.untouched());
        prop_assert!(matches!(object, Json::Object(_)));
        if let Some(shown) = form.show(&value) {
            prop_assert!(form.read(&shown).0.is_same(&value));
        }
    }
}

//! What a server asks in mid-call, and what a person answers (2026-07-28, basic/patterns/mrtr).

use super::json::Json;
use super::outcome::{self, Message};
use super::schema::{Errors, Form, Typed};

/// So many questions are shown.
const MOST: usize = 20;
/// What a page may lead to.
const SCHEMES: [&str; 2] = ["https://", "http://"];

/// A call that waits for its person.
#[derive(Debug, Clone)]
pub(crate) struct Required {
    pub(crate) questions: Vec<Question>,
    /// `inputRequests`, as the server wrote them.
    pub(crate) requests: Json,
    /// `requestState`, which goes back as it came.
    pub(crate) state: Option<String>,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Its key among the answers.
    key: String,
    /// What the names of its fields begin with.
    pub(crate) root: String,
    pub(crate) asks: Asks,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) enum Asks {
    /// To fill in a form.
    Form { message: String, form: Form },
    /// To open an address.
    Address { message: String, url: String, host: Option<String> },
    /// To answer in the place of a model.
    Model { messages: Vec<Message>, system: Option<String>, most: Option<String> },
    /// Which directories it may use: none.
    Roots,
    /// What this page cannot do.
    Unknown { method: String },
}

impl Required {
    /// Of a result that is none yet.
    pub(crate) fn of(result: &Json) -> Option<Self> {
        (result.str_of("resultType") == Some("input_required")).then(|| {
            let requests = result.get("inputRequests").cloned().unwrap_or(Json::Object(Vec::new()));
            Self::asked(requests, result.str_of("requestState").map(str::to_owned))
        })
    }

    /// Of what a page keeps of it.
    pub(crate) fn asked(requests: Json, state: Option<String>) -> Self {
        let each = requests.members().iter().take(MOST).enumerate();
        let questions = each.map(|(at, (key, request))| question(at, key, request)).collect();
        Self { questions, requests, state }
    }

    /// Whether anything needs a person.
    pub(crate) fn needs_somebody(&self) -> bool {
        self.questions.iter().any(|question| !matches!(question.asks, Asks::Roots))
    }

    /// What is typed in an untouched page.
    pub(crate) fn untouched(&self) -> Typed {
        let forms = self.questions.iter().filter_map(|question| match &question.asks {
            Asks::Form { form, .. } => Some(form.untouched()),
            _ => None,
        });
        forms.flatten().collect()
    }

    /// `inputResponses`.
    ///
    /// # Errors
    /// What is wrong, by field.
    pub(crate) fn answers(&self, typed: &Typed) -> Result<Json, Errors> {
        let (mut answers, mut errors) = (Vec::new(), Errors::new());
        for question in &self.questions {
            if let Some(answer) = question.answer(typed, &mut errors) {
                answers.push((question.key.clone(), answer));
            }
        }
        if errors.is_empty() { Ok(Json::Object(answers)) } else { Err(errors) }
    }
}

impl Question {
    /// The name of the field that says what to do: `accept`, `decline` or `cancel`.
    pub(crate) fn act(&self) -> String {
        format!("{}.act", self.root)
    }

    /// The name of the field with a model's answer.
    pub(crate) fn said(&self) -> String {
        format!("{}.said", self.root)
    }

    fn answer(&self, typed: &Typed, errors: &mut Errors) -> Option<Json> {
        let given =
            |name: &str| typed.get(name).and_then(|all| all.last()).map(String::as_str).unwrap_or_default();
        let act = match given(&self.act()) {
            act @ ("decline" | "cancel") => act,
            _ => "accept",
        };
        match &self.asks {
            Asks::Form { form, .. } if act == "accept" => {
                let (content, wrong) = form.read(typed);
                errors.extend(wrong);
                Some(Json::object([("action", Json::text(act)), ("content", content)]))
            }
            Asks::Form { .. } | Asks::Address { .. } => Some(Json::object([("action", Json::text(act))])),
            Asks::Model { .. } => {
                let said = given(&self.said());
                if said.is_empty() {
                    errors.insert(self.said(), "write what the model would say".to_owned());
                }
                let content = Json::object([
                    ("type", Json::text("text")),
                    ("text", Json::text(said.replace("\r\n", "\n"))),
                ]);
                Some(Json::object([
                    ("role", Json::text("assistant")),
                    ("content", content),
                    ("model", Json::text("a-person")),
                    ("stopReason", Json::text("endTurn")),
                ]))
            }
            Asks::Roots => Some(Json::object([("roots", Json::List(Vec::new()))])),
            Asks::Unknown { .. } => None,
        }
    }
}

fn question(at: usize, key: &str, request: &Json) -> Question {
    let root = format!("q{at}");
    let nothing = Json::Null;
    let params = request.get("params").unwrap_or(&nothing);
    let message = params.str_of("message").unwrap_or_default().to_owned();
    let asks = match request.str_of("method").unwrap_or_default() {
        "elicitation/create" if params.str_of("mode") == Some("url") => {
            let url = params.str_of("url").unwrap_or_default().to_owned();
            Asks::Address { message, host: host_of(&url), url }
        }
        "elicitation/create" => {
            let schema = params.get("requestedSchema").unwrap_or(&nothing);
            Asks::Form { message, form: Form::of(schema, &root) }
        }
        "sampling/createMessage" => Asks::Model {
            messages: params.list_of("messages").iter().take(MOST).map(outcome::message).collect(),
            system: params.str_of("systemPrompt").map(str::to_owned),
            most: params.get("maxTokens").map(Json::compact),
        },
        "roots/list" => Asks::Roots,
        method => Asks::Unknown { method: method.to_owned() },
    };
    Question { key: key.to_owned(), root, asks }
}

/// The host of an address that a page may lead to, as it is asked for: whoever opens it should see where it leads. `None`: it must not.
fn host_of(url: &str) -> Option<String> {
    let is_web = SCHEMES
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let parsed = reqwest::Url::parse(url).ok().filter(|_| is_web)?;
    // A name in front of the host is there to be taken for it.
    let has_name = !parsed.username().is_empty() || parsed.password().is_some();
    let host = parsed.host_str().filter(|_| !has_name)?;
    Some(parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = r#"{"resultType":"input_required","requestState":"s","inputRequests":{
        "who":{"method":"elicitation/create","params":{"mode":"form","message":"Who?","requestedSchema":{"type":"object",
            "properties":{"name":{"type":"string"},"age":{"type":"integer","default":30}},"required":["name"]}}},
        "go":{"method":"elicitation/create","params":{"mode":"url","message":"Go","url":"https://x.example:8443/a?b","elicitationId":"1"}},
        "say":{"method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"Capital?"}}],
            "systemPrompt":"Short","maxTokens":100}},
        "where":{"method":"roots/list"},"what":{"method":"new/thing"}}}"#;

    fn required() -> Required {
        Required::of(&Json::parse(ASKED).unwrap()).unwrap()
    }

    fn typed(pairs: &[(&str, &str)]) -> Typed {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
    }

    #[test]
    fn answers_are_as_the_protocol_wants_them() {
        let required = required();
        assert_eq!(required.state.as_deref(), Some("s"));
        assert!(
            matches!(&required.questions[1].asks, Asks::Address { host: Some(host), .. } if host == "x.example:8443")
        );
        let answers =
            required.answers(&typed(&[("q0/name", "Ada"), ("q0/age", "41"), ("q2.said", "Paris")])).unwrap();
        let expected = r#"{"who":{"action":"accept","content":{"name":"Ada","age":41}},"go":{"action":"accept"},"say":{"role":"assistant","content":{"type":"text","text":"Paris"},"model":"a-person","stopReason":"endTurn"},"where":{"roots":[]}}"#;
        assert_eq!(answers.compact(), expected);
        let declined = required
            .answers(&typed(&[("q0.act", "decline"), ("q1.act", "cancel"), ("q2.said", "x")]))
            .unwrap();
        assert_eq!(declined.get("who").unwrap().compact(), r#"{"action":"decline"}"#);
        assert_eq!(declined.get("go").unwrap().compact(), r#"{"action":"cancel"}"#);
        let errors = required.answers(&Typed::new()).unwrap_err();
        assert_eq!(errors.keys().collect::<Vec<_>>(), ["q0/name", "q2.said"]);
        assert_eq!(required.untouched(), typed(&[("q0/age", "30")]));
        // What a page keeps of it says the same.
        let kept =
            Required::asked(Json::parse(&required.requests.compact()).unwrap(), required.state.clone());
        assert_eq!(
            kept.answers(&typed(&[("q0/name", "Ada"), ("q0/age", "41"), ("q2.said", "Paris")])).unwrap(),
            answers
        );
    }

    #[test]
    fn a_page_leads_to_addresses_of_the_web_alone() {
        let check = |url: &str, host: Option<&str>| assert_eq!(host_of(url).as_deref(), host, "{url}");
        check("https://x.example/a", Some("x.example"));
        check("HTTPS://X.example/a", Some("x.example"));
        check("http://127.0.0.1:1/", Some("127.0.0.1:1"));
        check("https://münchen.example/", Some("xn--mnchen-3ya.example"));
        for bad in [
            "",
            "x",
            "javascript:alert(1)",
            "javascript://x.example/%0aalert(1)",
            " https://x.example",
            "data:text/html,x",
            "file:///etc/passwd",
            "//x.example",
            "https://good.example@evil.example/",
            "https://",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn what_is_a_result_asks_nothing() {
        for result in ["{}", r#"{"resultType":"complete"}"#, "1", r#"{"resultType":1}"#] {
            assert!(Required::of(&Json::parse(result).unwrap()).is_none());
        }
        let bare = Required::of(&Json::parse(r#"{"resultType":"input_required"}"#).unwrap()).unwrap();
        assert!(bare.questions.is_empty() && !bare.needs_somebody());
    }
}

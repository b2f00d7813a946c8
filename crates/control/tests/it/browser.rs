//! A browser as far as pages need one: it keeps cookies, says where its forms are from, and follows nothing by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;

use http::{Method, StatusCode};

use crate::platform::{Answer, Platform};

/// One browser with its cookies.
pub(crate) struct Browser<'a> {
    platform: &'a Platform,
    cookies: RefCell<BTreeMap<String, String>>,
    /// What its requests say beside cookie and origin.
    further: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(platform: &'a Platform) -> Self {
        Self { platform, cookies: RefCell::default(), further: vec![("user-agent", "Test/1".to_owned())] }
    }

    /// With a header on each of its requests.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.further.push((name, value.to_owned()));
        self
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// A form of one of Berth's own pages.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.platform.address);
        self.send(Method::POST, path, &[("origin", &origin)], Some(fields)).await
    }

    /// A form with the text of the session, taken from the page `of`.
    pub(crate) async fn submit(&self, of: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(of).await;
        assert_eq!(page.status, StatusCode::OK, "{of}: {}", text(&page));
        let csrf = csrf(&page);
        self.post(path, &[fields, &[("csrf", &csrf)]].concat()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        fields: Option<&[(&str, &str)]>,
    ) -> Answer {
        let cookies: Vec<String> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut all: Vec<(&str, &str)> = headers.to_vec();
        all.extend(self.further.iter().map(|(name, value)| (*name, value.as_str())));
        if !cookies.is_empty() {
            all.push(("cookie", &cookies));
        }
        let body = fields.map(encoded);
        if body.is_some() {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        let answer = self.platform.send_body(method, path, &all, body.unwrap_or_default()).await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.set_cookie(name, value);
            }
        }
        answer
    }

    /// Signs in with a password and must succeed.
    pub(crate) async fn sign_in(&self, login: &str, password: &str) {
        let answer = self.post("/sign-in", &[("login", login), ("password", password)]).await;
        assert_eq!((answer.status, location(&answer)), (StatusCode::SEE_OTHER, "/"), "{}", text(&answer));
    }

    /// Whether its session opens pages.
    pub(crate) async fn is_signed_in(&self) -> bool {
        self.get("/you").await.status == StatusCode::OK
    }
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

pub(crate) fn location(answer: &Answer) -> &str {
    answer.headers.get("location").map(|place| place.to_str().unwrap()).unwrap_or_default()
}

/// The text of the session that a page's forms carry.
pub(crate) fn csrf(page: &Answer) -> String {
    let text = text(page);
    let (_, after) = text.split_once("name=\"csrf\" value=\"").expect("a form with the session's text");
    after.split('"').next().unwrap().to_owned()
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        text.bytes()
            .map(|byte| {
                let plain = byte.is_ascii_alphanumeric();
                if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            })
            .collect()
    };
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

//! How each client is connected to an MCP address, with one click or a text to copy: what pages of instances and of toolbelts have in common.

use api::tokens::CreateTokenRequest;
use clients::{Client, Connection, Qr, Server};
use domain::names::InstanceName;
use domain::scopes::{Scope, Scopes};
use domain::secret::Secret;
use serde::Deserialize;

use crate::app::{App, Outcome, tokens};
use crate::web::member::Member;

/// What stands where a token belongs that nobody has made.
const PLACEHOLDER: &str = "YOUR_TOKEN";
/// How long a token lives when nobody says, in days.
const DAYS: &str = "90";
const DAY: u64 = 86_400;

/// Which client one looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    pub(crate) client: String,
}

/// The form that makes a token.
#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    pub(crate) client: String,
    /// Days that the token lives; empty: until it is revoked.
    #[serde(default)]
    pub(crate) days: String,
}

/// What is in the texts where a token belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// One that was made just now.
    New,
    /// A word that stands for one.
    Placeholder,
    /// Nothing: the client signs its person in.
    Absent,
}

/// What the template `connect.html` needs; a template that includes it has one in its field `ways`.
pub(crate) struct Ways {
    /// The page's own path.
    pub(crate) path: String,
    pub(crate) name: String,
    /// What has the address, such as `instance`.
    pub(crate) what: &'static str,
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) connection: Connection,
    pub(crate) qr: Option<Qr>,
    token: Token,
    /// The client's makers call the server, and cannot reach this address.
    pub(crate) is_out_of_reach: bool,
    /// The client keeps a file that the command line can change.
    pub(crate) has_file: bool,
    /// Who else's tokens are for this address: the words, and the path of a page that makes them.
    pub(crate) others: Option<(String, String)>,
    pub(crate) days: [(&'static str, &'static str); 4],
}

impl Ways {
    /// Of an address `url` that is called `name`, on a page of `path`. `token` is one that was made just now.
    pub(crate) fn new(
        (what, name): (&'static str, &str),
        url: String,
        path: String,
        word: &str,
        token: Option<&Secret>,
    ) -> Self {
        let client = client(word);
        let (shown, token) = match token {
            Some(token) => (Some(token.expose()), Token::New),
            None if client.signs_in() => (None, Token::Absent),
            None => (Some(PLACEHOLDER), Token::Placeholder),
        };
        Self {
            path,
            connection: clients::connection(client, Server { name, url: &url, token: shown }),
            qr: clients::qr(&url),
            token,
            is_out_of_reach: client.calls_from_the_internet() && !url.starts_with("https://"),
            has_file: clients::place(client).is_some(),
            others: None,
            name: name.to_owned(),
            what,
            url,
            client,
            days: [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")],
        }
    }

    pub(crate) fn all() -> [Client; 11] {
        Client::ALL
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    pub(crate) fn is_here(&self, client: &Client) -> bool {
        self.client == *client
    }

    pub(crate) fn is_chosen(days: &str) -> bool {
        days == DAYS
    }

    pub(crate) fn is_new(&self) -> bool {
        self.token == Token::New
    }

    pub(crate) fn is_placeholder(&self) -> bool {
        self.token == Token::Placeholder
    }
}

/// Makes a token that calls this address and nothing else. It is in the answer to this form and nowhere else.
pub(crate) async fn make_token(
    app: &App,
    member: &Member,
    name: &InstanceName,
    form: &Form,
) -> Outcome<Secret> {
    let days: Option<u64> = form.days.parse().ok();
    let request = CreateTokenRequest {
        name: format!("{} for {name}", client(&form.client).title()),
        expires_in_seconds: days.map(|days| days.saturating_mul(DAY)),
        scopes: Some(Scopes::one(Scope::Call { instance: Some(name.clone()), tool: None })),
        account: None,
    };
    Ok(tokens::create(app, &member.caller, &request).await?.secret)
}

fn client(word: &str) -> Client {
    Client::of_word(word).unwrap_or(Client::ClaudeCode)
}

//! From a server's challenge to the address that a person opens.

use domain::secret::Secret;
use serde::de::DeserializeOwned;

use super::exchange::Pending;
use super::identity::{ClassifyWords as _, Identity, Profile};
use super::unattended::Found;
use super::{Answer, Body, Refusal, Request, Step, scope, urls};
use crate::challenge::Challenge;
use crate::metadata::{
    AUTHORIZATION_SERVER, AuthorizationServer, OPENID_CONFIGURATION, PROTECTED_RESOURCE, ProtectedResource,
};
use crate::{pkce, resource};

/// What is known before.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The server's URL, as its owner gave it.
    pub server: String,
    /// What the server wanted; none when nobody has asked it yet.
    pub challenge: Challenge,
    /// Who Berth is; absent where no person is to be asked.
    pub profile: Option<Profile>,
    /// What authorization servers know Berth by: what was given by hand before what was registered.
    pub identities: Vec<Identity>,
    /// The scopes that were asked for before, and of which issuer.
    pub before: Option<(String, Vec<String>)>,
    /// Seconds since 1970.
    pub now: u64,
    /// Random: names the answer of the person.
    pub state: Secret,
    /// Random: a verifier of PKCE.
    pub verifier: Secret,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Make this request, and hand in what came of it.
    Send(Request),
    /// Send the person there.
    Visit(Box<Visit>),
    /// Ask for a token oneself.
    Ask(Box<Found>),
}

/// Where a person decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// What they open. It holds the state, so it is for them alone.
    pub url: String,
    /// What must be kept until they are back.
    pub pending: Pending,
}

/// On the way there.
#[derive(Debug)]
pub struct Discovery {
    begin: Begin,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The server's own document is looked for.
    Resource { left: Vec<String>, why: String },
    /// The authorization server's is.
    Server { issuer: String, left: Vec<String>, why: String, resource: Resource },
    /// A registration was sent.
    Registering {
        profile: Box<Profile>,
        server: Box<AuthorizationServer>,
        scopes: Vec<String>,
        resource: String,
    },
    /// It has ended.
    Over,
}

/// What the server said of itself.
#[derive(Debug, Clone)]
struct Resource {
    /// What tokens are asked for.
    id: String,
    scopes: Vec<String>,
    /// It has no document: a server of 2025-03-26, whose authorization server is at its own origin.
    is_old: bool,
}

impl Discovery {
    /// Begins with a challenge.
    ///
    /// # Errors
    /// When the server's URL is none.
    pub fn begin(begin: Begin) -> Result<(Self, Next), Refusal> {
        let (origin, path) = urls::split(&begin.server)
            .ok_or_else(|| Step::Resource.refuse("the server's URL is no http:// or https:// URL"))?;
        let mut left = vec![format!("{origin}{PROTECTED_RESOURCE}")];
        if !path.is_empty() {
            left.push(format!("{origin}{PROTECTED_RESOURCE}{path}"));
        }
        if let Some(named) = begin.challenge.resource_metadata.clone().filter(|url| urls::is_http(url)) {
            left.retain(|url| *url != named);
            left.push(named);
        }
        let first = left.pop().unwrap_or_default();
        let state = State::Resource { left, why: String::new() };
        Ok((Self { begin, state }, Next::Send(get(first))))
    }

    /// Takes the answer to the request that was last asked for; an error is why there is none, in words.
    ///
    /// # Errors
    /// Why this leads to no token.
    pub fn answer(&mut self, answer: Result<Answer<'_>, &str>) -> Result<Next, Refusal> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Resource { left, why } => self.resource(left, why, answer),
            State::Server { issuer, left, why, resource } => self.server(issuer, left, why, resource, answer),
            State::Registering { profile, server, scopes, resource } => {
                let answer = answer.map_err(|why| Step::Registration.refuse(why))?;
                let identity = profile.registered(&server, answer)?;
                self.visit(&profile, &server, identity, scopes, resource)
            }
            State::Over => Err(Step::Authorization.refuse("it has ended already")),
        }
    }

    fn resource(
        &mut self,
        mut left: Vec<String>,
        mut why: String,
        answer: Result<Answer<'_>, &str>,
    ) -> Result<Next, Refusal> {
        let answer = answer.map_err(|why| Step::Resource.refuse(why))?;
        let document: ProtectedResource = match document(answer) {
            Ok(document) => document,
            Err(words) => {
                note(&mut why, &words);
                if let Some(next) = left.pop() {
                    self.state = State::Resource { left, why };
                    return Ok(Next::Send(get(next)));
                }
                return self.without_document(&why);
            }
        };
        if !covers(&document.resource, &self.begin.server) {
            return Err(Step::Resource.refuse(format!(
                "the document says that it is of {}, which is not this server; a token for that one would be somebody else's",
                super::shown(&document.resource)
            )));
        }
        let known = |issuer: &&String| self.begin.identities.iter().any(|known| known.issuer == **issuer);
        let servers = &document.authorization_servers;
        let issuer = servers.iter().find(known).or(servers.first()).cloned();
        let Some(issuer) = issuer else {
            return self.without_document("the server's document names no authorization server");
        };
        let resource = Resource { id: document.resource, scopes: document.scopes_supported, is_old: false };
        self.ask_server(issuer, resource)
    }

    /// A server of before 2025-06-18, or none that wants tokens.
    fn without_document(&mut self, why: &str) -> Result<Next, Refusal> {
        let server = self.begin.server.split('?').next().unwrap_or_default();
        let (Some((origin, _)), Some(id)) = (urls::split(server), resource::canonical(server)) else {
            return Err(Step::Resource.refuse(why));
        };
        self.ask_server(origin, Resource { id, scopes: Vec::new(), is_old: true })
    }

    fn ask_server(&mut self, issuer: String, resource: Resource) -> Result<Next, Refusal> {
        let Some((origin, path)) = urls::split(&issuer).filter(|_| !issuer.contains('?')) else {
            return Err(Step::Metadata.refuse(format!(
                "the server names the authorization server {}, which is no http:// or https:// URL",
                super::shown(&issuer)
            )));
        };
        // RFC 8414 §3.1 and §5; MCP, Authorization Server Metadata Discovery.
        let mut left = vec![format!("{origin}{path}{OPENID_CONFIGURATION}")];
        if !path.is_empty() {
            left.push(format!("{origin}{OPENID_CONFIGURATION}{path}"));
        }
        let first = format!("{origin}{AUTHORIZATION_SERVER}{path}");
        self.state = State::Server { issuer, left, why: String::new(), resource };
        Ok(Next::Send(get(first)))
    }

    fn server(
        &mut self,
        issuer: String,
        mut left: Vec<String>,
        mut why: String,
        resource: Resource,
        answer: Result<Answer<'_>, &str>,
    ) -> Result<Next, Refusal> {
        let answer = answer.map_err(|why| Step::Metadata.refuse(why))?;
        let server: AuthorizationServer = match document(answer) {
            Ok(server) => server,
            Err(words) => {
                note(&mut why, &words);
                if let Some(next) = left.pop() {
                    self.state = State::Server { issuer, left, why, resource };
                    return Ok(Next::Send(get(next)));
                }
                if resource.is_old {
                    return self.register(old(&issuer), resource);
                }
                return Err(Step::Metadata.refuse(format!(
                    "{issuer} has no document at any place where there should be one ({why}); ask who runs it"
                )));
            }
        };
        // A server of 2025-03-26 is not looked up by an issuer that anybody named; its origin is all there is to go by.
        let is_it = server.issuer == issuer
            || (resource.is_old && urls::split(&server.issuer) == Some((issuer.clone(), String::new())));
        if !is_it {
            return Err(Step::Metadata.refuse(format!(
                "the document at {issuer} says that it is of {}; whoever made it could take tokens of the other one",
                super::shown(&server.issuer)
            )));
        }
        let is_attended = self.begin.profile.is_some();
        if is_attended && !server.code_challenge_methods_supported.iter().any(|method| method == pkce::METHOD)
        {
            return Err(Step::Metadata.refuse(format!(
                "{issuer} does not say that it knows PKCE with S256, without which codes can be stolen; ask who runs it"
            )));
        }
        let is_lost = is_attended && !urls::is_http(&server.authorization_endpoint);
        if is_lost || !urls::is_http(&server.token_endpoint) {
            return Err(
                Step::Metadata.refuse(format!("the endpoints of {issuer} are no http:// or https:// URLs"))
            );
        }
        self.register(server, resource)
    }

    /// Who Berth is there: given by hand, by its own document, registered before, or registered now.
    fn register(&mut self, server: AuthorizationServer, resource: Resource) -> Result<Next, Refusal> {
        let before = match &self.begin.before {
            Some((issuer, scopes)) if *issuer == server.issuer => scopes.as_slice(),
            _ => &[],
        };
        let scopes = scope::select(
            self.begin.challenge.scope.as_deref(),
            &resource.scopes,
            before,
            &server.scopes_supported,
        );
        let Some(profile) = self.begin.profile.clone() else {
            return Ok(Next::Ask(Box::new(Found { server, resource: resource.id, scopes })));
        };
        let of_this = |identity: &&Identity| identity.issuer == server.issuer;
        let identities = || self.begin.identities.iter().filter(of_this);
        if let Some(given) = identities().find(|identity| identity.registered_for.is_none()) {
            let identity = given.clone().settled(&server);
            return self.visit(&profile, &server, identity, scopes, resource.id);
        }
        if let Some(url) =
            profile.document.as_deref().filter(|_| server.client_id_metadata_document_supported)
        {
            let identity = Identity::document(&server.issuer, url);
            return self.visit(&profile, &server, identity, scopes, resource.id);
        }
        let is_good = |identity: &&Identity| {
            identity.registered_for.as_ref() == Some(&profile.redirect_uri)
                && identity.expires_at.is_none_or(|at| self.begin.now < at)
        };
        if let Some(registered) = identities().find(is_good) {
            let identity = registered.clone();
            return self.visit(&profile, &server, identity, scopes, resource.id);
        }
        let Some(endpoint) = server.registration_endpoint.as_deref().filter(|url| urls::is_http(url)) else {
            return Err(Step::Registration.refuse(format!(
                "{} registers no clients by itself; register Berth there by hand, with the redirect URI {}, and give Berth the \
                 client id",
                server.issuer, profile.redirect_uri
            )));
        };
        let request = profile.register(endpoint, &server, &scopes)?;
        self.state = State::Registering {
            profile: Box::new(profile),
            server: Box::new(server),
            scopes,
            resource: resource.id,
        };
        Ok(Next::Send(request))
    }

    fn visit(
        &mut self,
        profile: &Profile,
        server: &AuthorizationServer,
        identity: Identity,
        scopes: Vec<String>,
        resource: String,
    ) -> Result<Next, Refusal> {
        let Begin { state, verifier, .. } = &self.begin;
        if !pkce::is_verifier(verifier.expose()) {
            return Err(Step::Authorization.refuse("the verifier is none"));
        }
        let (challenge, scope) = (pkce::challenge(verifier.expose()), scopes.join(" "));
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", &identity.client_id),
            ("redirect_uri", &profile.redirect_uri),
            ("state", state.expose()),
            ("code_challenge", &challenge),
            ("code_challenge_method", pkce::METHOD),
            ("resource", &resource),
        ];
        if !scope.is_empty() {
            parameters.push(("scope", &scope));
        }
        if scopes.iter().any(|scope| scope == scope::OFFLINE) {
            // Without it OpenID Connect gives no offline access (Core 1.0 §11).
            parameters.push(("prompt", "consent"));
        }
        let url = urls::with_query(&server.authorization_endpoint, &parameters);
        let pending = Pending {
            state: state.clone(),
            verifier: verifier.clone(),
            token_endpoint: server.token_endpoint.clone(),
            says_issuer: server.authorization_response_iss_parameter_supported,
            redirect_uri: profile.redirect_uri.clone(),
            identity,
            resource,
            scopes,
        };
        Ok(Next::Visit(Box::new(Visit { url, pending })))
    }
}

fn get(url: String) -> Request {
    Request { url, body: Body::None, authorization: None }
}

/// A document, or why there is none.
fn document<T: DeserializeOwned>(answer: Answer<'_>) -> Result<T, String> {
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    serde_json::from_slice(answer.body).map_err(|error| error.classify_words().to_owned())
}

fn note(why: &mut String, words: &str) {
    if !why.is_empty() {
        why.push_str(", ");
    }
    why.push_str(words);
}

/// Whether a token for `resource` is one for `server`: the very same, or the same origin with a path that is its beginning.
fn covers(resource: &str, server: &str) -> bool {
    let server = server.split('?').next().unwrap_or_default();
    let (Some(resource), Some(server)) = (resource::canonical(resource), resource::canonical(server)) else {
        return false;
    };
    server.strip_prefix(&resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where everything is when nobody says (2025-03-26, Authorization: "Fallbacks for Servers without Metadata Discovery").
fn old(origin: &str) -> AuthorizationServer {
    AuthorizationServer {
        issuer: origin.to_owned(),
        authorization_endpoint: format!("{origin}/authorize"),
        token_endpoint: format!("{origin}/token"),
        registration_endpoint: Some(format!("{origin}/register")),
        token_endpoint_auth_methods_supported: vec!["none".to_owned()],
        ..AuthorizationServer::default()
    }
}

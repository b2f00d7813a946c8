//! The documents that clients read first.

use oauth::metadata::{AuthorizationServer, ProtectedResource};
use oauth::pkce;

use crate::app::App;
use crate::app::oauth::{Resource, assertions, devices};

/// Where people are sent.
pub(crate) const AUTHORIZE: &str = "/oauth/authorize";
/// Where tokens are given.
pub(crate) const TOKEN: &str = "/oauth/token";
/// Where clients register.
pub(crate) const REGISTER: &str = "/oauth/register";
/// Where tokens are revoked.
pub(crate) const REVOKE: &str = "/oauth/revoke";
/// Where tokens are looked into.
pub(crate) const INTROSPECT: &str = "/oauth/introspect";
/// Where devices ask for a code.
pub(crate) const DEVICE: &str = "/oauth/device";
/// The public keys.
pub(crate) const KEYS: &str = "/oauth/keys";
/// Where people type a device's code.
pub(crate) const DEVICE_PAGE: &str = "/device";

/// The profile of grants by which an identity provider vouches for people.
const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
/// Algorithms that clients may sign with.
pub(crate) const ASSERTION_ALGORITHMS: [&str; 4] = ["ES256", "RS256", "PS256", "EdDSA"];

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// About this authorization server, for a client that came by `base` (RFC 8414 §2).
pub(crate) fn authorization_server(app: &App, base: &str) -> AuthorizationServer {
    let at = |path: &str| format!("{base}{path}");
    // Somebody must be there to vouch.
    let vouches = !app.directory.issuers().is_empty();
    AuthorizationServer {
        issuer: base.to_owned(),
        authorization_endpoint: at(AUTHORIZE),
        token_endpoint: at(TOKEN),
        registration_endpoint: Some(at(REGISTER)),
        revocation_endpoint: Some(at(REVOKE)),
        introspection_endpoint: Some(at(INTROSPECT)),
        device_authorization_endpoint: Some(at(DEVICE)),
        jwks_uri: Some(at(KEYS)),
        scopes_supported: texts(&["mcp:call", "read", "deploy", "admin"]),
        response_types_supported: texts(&["code"]),
        response_modes_supported: texts(&["query"]),
        grant_types_supported: [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            devices::GRANT_TYPE,
        ]
        .into_iter()
        .chain(vouches.then_some(assertions::GRANT_TYPE))
        .map(str::to_owned)
        .collect(),
        token_endpoint_auth_methods_supported: texts(&[
            "none",
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ]),
        token_endpoint_auth_signing_alg_values_supported: texts(&ASSERTION_ALGORITHMS),
        code_challenge_methods_supported: texts(&[pkce::METHOD]),
        authorization_response_iss_parameter_supported: true,
        client_id_metadata_document_supported: true,
        authorization_grant_profiles_supported: texts(if vouches { &[ID_JAG_PROFILE] } else { &[] }),
        subject_types_supported: texts(&["public"]),
        id_token_signing_alg_values_supported: texts(&["ES256"]),
        service_documentation: None,
    }
}

/// About a resource, for a client that came by `base` (RFC 9728 §2); `path` is behind the well-known one. `None` when no address
/// has that form. Whether there is such an instance is not told.
pub(crate) fn protected_resource(base: &str, path: &str) -> Option<ProtectedResource> {
    let (resource, scopes, name) = if path.is_empty() || path == "/" {
        (Resource::Api, texts(&["read", "deploy", "admin"]), "Berth's API".to_owned())
    } else {
        let (account, instance, is_sse) = gateway::parse_address(path)?;
        let (scope, name) = (format!("mcp:call:{instance}"), format!("{instance} ({account})"));
        (Resource::Server { account, instance, is_sse }, vec![scope], name)
    };
    Some(ProtectedResource {
        resource: format!("{base}{}", resource.path()),
        authorization_servers: vec![base.to_owned()],
        scopes_supported: scopes,
        bearer_methods_supported: texts(&["header"]),
        resource_name: Some(name),
    })
}

/// The public keys (RFC 7517 §5).
pub(crate) fn keys(app: &App) -> jsonwebtoken::jwk::JwkSet {
    app.directory.access().public()
}

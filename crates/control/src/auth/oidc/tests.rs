//! Tokens of an identity provider that is played here: which are believed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://login.example.com";
const NONCE: &str = "the-nonce";

fn key() -> EncodingKey {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    EncodingKey::from_ec_der(made.unwrap().as_ref())
}

fn jwk(key: &EncodingKey, kid: &str) -> Jwk {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    jwk
}

/// A provider of which everything is known, so that nothing is asked.
fn provider(keys: Vec<Jwk>) -> Provider {
    let provider = Provider::new(Oidc::new(ISSUER, "berth", Secret::new("x"), "Example").unwrap());
    let metadata = json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/auth"),
        "token_endpoint": format!("{ISSUER}/token"),
        "jwks_uri": format!("{ISSUER}/jwks"),
    });
    let metadata = serde_json::from_value(metadata).unwrap();
    *provider.known.lock().unwrap() = Some((Instant::now(), Arc::new(metadata)));
    *provider.keys.lock().unwrap() = Some((Instant::now(), Arc::new(keys)));
    provider
}

fn claims() -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({ "iss": ISSUER, "sub": "mary", "aud": "berth", "nonce": NONCE, "iat": now, "exp": now + 300 })
}

fn signed(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

async fn is_believed(provider: &Provider, token: &str) -> bool {
    let metadata = provider.metadata().await.unwrap();
    match provider.verified(&metadata, token).await {
        Ok(claims) => check(&claims, "berth", NONCE).is_ok(),
        Err(Problem::Refused(detail)) => {
            assert_eq!(detail.code, ErrorCode::Forbidden, "{detail:?}");
            false
        }
        Err(failed) => panic!("{failed}"),
    }
}

#[tokio::test]
async fn what_a_token_must_say() {
    let own = key();
    let provider = provider(vec![jwk(&own, "one")]);
    let now = jsonwebtoken::get_current_timestamp();
    let rows: [(&str, Value, bool); 20] = [
        ("sub", json!("mary"), true),
        ("aud", json!(["berth"]), true),
        ("azp", json!("berth"), true),
        ("iss", json!("https://evil.example"), false),
        ("iss", json!(format!("{ISSUER}/")), false),
        ("iss", Value::Null, false),
        ("aud", json!("other"), false),
        ("aud", json!(["other", "berth"]), false),
        ("aud", json!([]), false),
        ("aud", Value::Null, false),
        ("azp", json!("other"), false),
        ("nonce", json!("another"), false),
        ("nonce", json!(""), false),
        ("nonce", Value::Null, false),
        ("exp", json!(now - 120), false),
        ("exp", Value::Null, false),
        ("nbf", json!(now + 600), false),
        ("sub", json!(""), false),
        ("sub", Value::Null, false),
        ("sub", json!("x".repeat(256)), false),
    ];
    for (name, value, expected) in rows {
        let mut changed = claims();
        changed.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
        if value.is_null() {
            changed.as_object_mut().unwrap().remove(name);
        }
        let token = signed(&own, Algorithm::ES256, Some("one"), &changed);
        assert_eq!(is_believed(&provider, &token).await, expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn who_must_have_signed_it() {
    let (own, other) = (key(), key());
    let provider = provider(vec![jwk(&other, "other"), jwk(&own, "one")]);
    let good = signed(&own, Algorithm::ES256, Some("one"), &claims());
    assert!(is_believed(&provider, &good).await);
    assert!(is_believed(&provider, &signed(&own, Algorithm::ES256, None, &claims())).await, "without a name");
    let (head, tail) = good.split_once('.').unwrap();
    let encode = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let (payload, signature) = tail.split_once('.').unwrap();
    let mut grown = claims();
    grown["sub"] = json!("admin");
    let public = serde_json::to_vec(&jwk(&own, "one")).unwrap();
    for (what, token) in [
        ("another's key", signed(&key(), Algorithm::ES256, Some("one"), &claims())),
        ("another key of the provider", signed(&own, Algorithm::ES256, Some("other"), &claims())),
        ("no signature", format!("{}.{payload}.", encode(json!({ "alg": "none" })))),
        (
            "no signature, in other letters",
            format!("{}.{payload}.", encode(json!({ "alg": "NONE", "kid": "one" }))),
        ),
        ("none and the signature", format!("{}.{payload}.{signature}", encode(json!({ "alg": "none" })))),
        ("other claims", format!("{head}.{}.{signature}", encode(grown))),
        (
            "a public key as a secret",
            signed(&EncodingKey::from_secret(&public), Algorithm::HS256, Some("one"), &claims()),
        ),
        ("the secret", signed(&EncodingKey::from_secret(b"x"), Algorithm::HS256, Some("one"), &claims())),
        ("half of it", format!("{head}.{payload}")),
        ("nothing", String::new()),
    ] {
        assert!(!is_believed(&provider, &token).await, "{what}");
    }
    // A key for encryption, or for another algorithm, signs nothing.
    for change in [json!({ "use": "enc" }), json!({ "alg": "ES384" })] {
        let mut value = serde_json::to_value(jwk(&own, "one")).unwrap();
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let provider = super::tests::provider(vec![serde_json::from_value(value).unwrap()]);
        assert!(!is_believed(&provider, &good).await, "{change}");
    }
}

#[tokio::test]
async fn an_answer_says_whose_it_is() {
    let provider = provider(Vec::new());
    for (said, ok) in
        [(Some(ISSUER), true), (None, true), (Some("https://evil.example"), false), (Some(""), false)]
    {
        assert_eq!(provider.check_issuer(said).await.is_ok(), ok, "{said:?}");
    }
}

#[test]
fn an_address_counts_when_it_is_verified() {
    let check = |verified: Value, expected: Option<&str>| {
        let about = json!({ "email": "Mary@Example.com", "email_verified": verified });
        let about: About = serde_json::from_value(about).unwrap();
        assert_eq!(about.verified_email().as_deref(), expected, "{verified}");
    };
    check(json!(true), Some("mary@example.com"));
    check(json!("true"), Some("mary@example.com"));
    for not in [json!(false), json!("false"), json!(1), json!("yes"), Value::Null] {
        check(not, None);
    }
}

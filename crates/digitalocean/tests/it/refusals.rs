//! What the provider refuses is told by what can be done about it.

use digitalocean::{Client, Earlier, Error, NewDroplet};
use testkit::digitalocean::{Config, Fake, TOKEN};

use crate::{client, client_with, tag, web};

/// The error's kind, the field that it names, and that nothing was created and the request can be looked up.
async fn check(fake: &Fake, client: &Client, wanted: &NewDroplet, expected: &str) {
    let error = client.create_droplet(wanted, &tag("op:1"), Earlier::Never).await.unwrap_err();
    let kind = match &error {
        Error::TokenRefused(_) => "token".to_owned(),
        Error::MissingScope { request, .. } => format!("scope for {request}"),
        Error::LimitReached(_) => "limit".to_owned(),
        Error::Invalid { field, .. } => format!("invalid {}", field.unwrap_or("request")),
        _ => format!("{error:?}"),
    };
    assert_eq!(kind, expected, "{error}");
    assert!(error.request_id().is_some() && !error.may_pass(), "{error}");
    assert!(fake.machines().is_empty());
}

#[tokio::test]
async fn a_creation_that_is_refused() {
    let fake = Fake::start(Config::default());
    let known = client(&fake);
    let with = |change: fn(&mut NewDroplet)| {
        let mut wanted = web("web1");
        change(&mut wanted);
        wanted
    };
    for (wanted, expected) in [
        (with(|d| d.region = "mars1".to_owned()), "invalid region"),
        (with(|d| d.region = "sfo1".to_owned()), "invalid region"),
        (with(|d| d.size = "xxl".to_owned()), "invalid size"),
        (with(|d| d.size = "c-2".to_owned()), "invalid size"),
        (with(|d| d.image = "plan-9".into()), "invalid image"),
        (with(|d| d.image = "12345".into()), "invalid image"),
        (with(|d| d.ssh_keys = vec!["12345".into()]), "invalid request"),
        (with(|d| d.vpc_uuid = Some("5a4981aa-0000-0000-0000-d6bff52042e4".to_owned())), "invalid vpc_uuid"),
    ] {
        check(&fake, &known, &wanted, expected).await;
    }
    check(&fake, &client_with(&fake, "dop_v1_revoked", |_| {}), &web("web1"), "token").await;

    let full = Fake::start(Config { droplet_limit: 0, ..Config::default() });
    check(&full, &client(&full), &web("web1"), "limit").await;

    for (scopes, expected) in [
        (vec!["droplet:create", "tag:create"], "scope for GET /v2/droplets"),
        (vec!["droplet:read", "tag:create"], "scope for POST /v2/droplets"),
        // The tag would be a new one.
        (vec!["droplet:read", "droplet:create"], "scope for POST /v2/droplets"),
    ] {
        let fake = Fake::start(Config { scopes: Some(scopes), ..Config::default() });
        check(&fake, &client_with(&fake, TOKEN, |_| {}), &web("web1"), expected).await;
    }
}

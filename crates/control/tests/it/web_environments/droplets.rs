//! Droplets by form: what there is and what it costs, how far it is, and destroying it.

use http::StatusCode;
use testkit::digitalocean::{Config, Fake, TOKEN};

use super::{API, PAGE, admin, again, goes_to, has, lacks, shown};
use crate::browser::text;
use crate::droplets::start;
use crate::environments::environment_until;
use crate::platform::{Platform, nobody};

const ORDER: &str = "/a/default/environments/droplet";

#[tokio::test]
async fn without_a_token_the_page_says_how_to_get_one() {
    let platform = Platform::start(nobody()).await;
    let admin = admin(&platform).await;
    let page = shown(&admin, ORDER).await;
    has(&page, &["DIGITALOCEAN_TOKEN", "<code>droplet:create</code>", "/a/default/environments/add"]);
    lacks(&page, &["<select", "name=\"size\""]);
    let refused = admin.submit(ORDER, ORDER, &[("name", "far"), ("region", "fra1"), ("size", "x")]).await;
    again(&refused, 503, &["no DigitalOcean token", "DIGITALOCEAN_TOKEN"]);
    platform.stop().await;

    // A token that is none is another thing.
    let fake = Fake::start(Config::default());
    let platform = start(&fake, "dop_v1_other").await;
    let admin = super::admin(&platform).await;
    let failed = admin.get(ORDER).await;
    again(&failed, 503, &["DigitalOcean refused the token", "Ask DigitalOcean again"]);
    lacks(&text(&failed), &["dop_v1_other"]);
    // What is typed is kept, although nobody says what there is.
    let typed = [("name", "far"), ("region", "fra1"), ("size", "s-1vcpu-1gb"), ("image", "debian-13-x64")];
    let refused = admin.submit(PAGE, ORDER, &typed).await;
    again(&refused, 503, &["DigitalOcean refused the token", "name=\"region\" value=\"fra1\""]);
    has(&text(&refused), &["value=\"far\"", "value=\"s-1vcpu-1gb\"", "value=\"debian-13-x64\" selected"]);
    platform.stop().await;
}

#[tokio::test]
async fn a_droplet_is_ordered_followed_and_destroyed() {
    let fake = Fake::start(Config::default());
    let platform = start(&fake, TOKEN).await;
    let admin = admin(&platform).await;
    let page = shown(&admin, ORDER).await;
    has(
        &page,
        &[
            "<option value=\"fra1\" selected>",
            "value=\"s-1vcpu-1gb\"",
            "<b>$6.00</b> a month",
            "1.0 GiB memory",
            "value=\"debian-13-x64\" selected",
            "0 of 25 droplets",
        ],
    );
    lacks(&page, &["value=\"c-2\"", TOKEN]);
    let other = shown(&admin, &format!("{ORDER}?region=nyc3")).await;
    has(&other, &["<option value=\"nyc3\" selected>", "value=\"c-2\"", "name=\"region\" value=\"nyc3\""]);
    has(&shown(&admin, &format!("{ORDER}?region=nowhere")).await, &["<option value=\"fra1\" selected>"]);

    let order = |name: &'static str, size: &'static str| {
        vec![
            ("name", name),
            ("labels", "site=far"),
            ("region", "fra1"),
            ("size", size),
            ("image", "debian-13-x64"),
        ]
    };
    for (fields, status, words) in [
        (order("local", "s-1vcpu-1gb"), 409, "An environment `local` exists already"),
        (order("far", "c-2"), 422, "There is no `c-2` in fra1 now"),
        (order("far", ""), 422, "A droplet needs a size"),
        ([order("far", "s-1vcpu-1gb"), vec![("allow_ssh", "yes")]].concat(), 422, "Without a key"),
        ([order("far", "s-1vcpu-1gb"), vec![("ssh_keys", "77")]].concat(), 422, "has no SSH key `77`"),
    ] {
        let answer = admin.submit(ORDER, ORDER, &fields).await;
        again(&answer, status, &[words, "site=far</textarea>", &format!("value=\"{}\"", fields[0].1)]);
    }
    assert!(fake.machines().is_empty());

    let far = format!("{PAGE}/far");
    goes_to(&admin.submit(ORDER, ORDER, &order("far", "s-1vcpu-1gb")).await, &far);
    environment_until(&platform, "far", |one| one["status"] == "awaiting_heartbeat").await;
    let page = shown(&admin, &far).await;
    has(
        &page,
        &[
            "<b>$6.00</b> a month",
            "its first start installs Berth",
            "<li class=\"now\"><b>It starts for the first time",
            "site=far",
            "region=fra1",
            "href=\"https://cloud.digitalocean.com/droplets/",
        ],
    );
    has(
        &shown(&admin, PAGE).await,
        &["droplet s-1vcpu-1gb in fra1, $6.00 a month", "The droplets cost $6.00"],
    );
    // What the provider says is nobody's to set, and stays when labels are changed.
    let change = format!("{far}/change");
    let form = shown(&admin, &change).await;
    has(&form, &[">site=far</textarea>", "<span class=\"tag\">region=fra1</span>"]);
    goes_to(&admin.submit(&change, &change, &[("name", "far"), ("labels", "")]).await, &far);
    let labels = platform.get(&format!("{API}/far")).await.json()["labels"].clone();
    assert_eq!(labels, serde_json::json!({ "region": "fra1", "size": "s-1vcpu-1gb" }));

    let remove = format!("{far}/remove");
    let page = shown(&admin, &remove).await;
    has(
        &page,
        &["is destroyed</b>, with its disk and everything on it", "$6.00 a month", "name=\"confirm\""],
    );
    for typed in ["", "Far", "local"] {
        let refused = admin.submit(&remove, &remove, &[("confirm", typed)]).await;
        again(&refused, 422, &["The name is not typed as it is", &format!("value=\"{typed}\"")]);
    }
    assert_eq!(fake.machines().len(), 1);
    goes_to(&admin.submit(&remove, &remove, &[("confirm", " far ")]).await, &far);
    environment_until(&platform, "far", |one| one["error"]["code"] == "not_found").await;
    assert_eq!(fake.machines(), []);
    assert_eq!(admin.get(&far).await.status, StatusCode::NOT_FOUND);
    platform.stop().await;
}

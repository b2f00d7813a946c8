//! The client against a stateful fake of the provider: every function, every fault, and both sides against the provider's
//! official document.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test's helpers fail as its assertions do, and say what they could not test"
)]

mod create;
mod document;
mod endpoints;
mod lifecycle;
mod limits;
mod pages;
mod properties;
mod refusals;

use std::time::Duration;

use digitalocean::{Client, NewDroplet, Settings, Tag, Token};
use testkit::digitalocean::{Fake, TOKEN};

/// A client of the fake, with times that suit tests.
fn client(fake: &Fake) -> Client {
    client_with(fake, TOKEN, |_| {})
}

fn client_with(fake: &Fake, token: &str, change: impl Fn(&mut Settings)) -> Client {
    let mut settings = Settings::at(&fake.url(), Token::new(token).unwrap()).unwrap();
    settings.answer_within = Duration::from_secs(10);
    settings.give_up_after = Duration::from_secs(20);
    settings.first_wait = Duration::from_millis(2);
    settings.settle = Duration::from_millis(40);
    change(&mut settings);
    Client::new(settings).unwrap()
}

/// A droplet that the fake makes.
fn web(name: &str) -> NewDroplet {
    NewDroplet::new(name, "fra1", "s-1vcpu-1gb", "debian-12-x64")
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

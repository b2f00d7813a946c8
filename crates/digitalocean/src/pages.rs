//! Follows lists from page to page, never to another host: the token goes with each request.
//!
//! A list is no snapshot. What is deleted meanwhile moves the rest, and something may be left out at the edge of a page: whoever
//! misses a thing asks for it by its id before believing that it is gone.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Call, Client};
use crate::errors::Error;
use crate::retry::Effect;

/// The most that the API gives at once.
const PER_PAGE: &str = "200";
/// More pages than any account has: a list that leads in a circle ends.
const MOST_PAGES: usize = 500;

#[derive(Default, Deserialize)]
struct Links {
    #[serde(default)]
    pages: Option<Pages>,
}

#[derive(Default, Deserialize)]
struct Pages {
    #[serde(default)]
    next: Option<String>,
}

impl Client {
    /// The whole list, all pages.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        key: &str,
        path: &[&str],
        filter: &[(&str, &str)],
    ) -> Result<Vec<T>, Error> {
        let query: Vec<(&str, &str)> = filter.iter().copied().chain([("per_page", PER_PAGE)]).collect();
        let first = Call { query: &query, ..Call::new(Method::GET, Effect::Repeatable, path) };
        let follow = Call::new(Method::GET, Effect::Repeatable, path);
        let mut answer = self.send(first).await?;
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut members = answer.members()?;
            all.append(&mut answer.member::<Vec<T>>(&mut members, key)?);
            let links: Option<Links> =
                if members.contains_key("links") { answer.member(&mut members, "links")? } else { None };
            let Some(next) = links.and_then(|links| links.pages).and_then(|pages| pages.next) else {
                return Ok(all);
            };
            let next = within(&self.settings.base, &next)
                .ok_or_else(|| answer.garbled("its next page is at another address".to_owned()))?;
            answer = self.send_to(next, &follow).await?;
        }
        Err(answer.garbled(format!("the list has more than {MOST_PAGES} pages")))
    }
}

/// The address of the next page, where it is one of the API's own.
fn within(base: &Url, next: &str) -> Option<Url> {
    let url = base.join(next).ok()?;
    let api = format!("{}/v2/", base.path().trim_end_matches('/'));
    let plain = url.username().is_empty() && url.password().is_none();
    (url.origin() == base.origin() && plain && url.path().starts_with(&api)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_stay_at_home() {
        let check = |base: &str, next: &str, expected: bool| {
            let base = Url::parse(base).unwrap();
            assert_eq!(within(&base, next).is_some(), expected, "{next} of {base}");
        };
        let api = "https://api.digitalocean.com";
        check(api, "https://api.digitalocean.com/v2/droplets?page=2&per_page=200", true);
        check(api, "https://api.digitalocean.com:443/v2/droplets?page=2", true);
        check(api, "/v2/droplets?page=2", true);
        check(api, "http://api.digitalocean.com/v2/droplets?page=2", false);
        check(api, "https://api.digitalocean.com.example/v2/droplets?page=2", false);
        check(api, "https://api.digitalocean.com@example.com/v2/droplets", false);
        check(api, "https://me:pw@api.digitalocean.com/v2/droplets", false);
        check(api, "//example.com/v2/droplets", false);
        check(api, "https://api.digitalocean.com:8443/v2/droplets", false);
        check(api, "https://api.digitalocean.com/v1/droplets", false);
        check(api, "javascript:alert(1)", false);
        check("https://proxy.example/do", "https://proxy.example/do/v2/droplets?page=2", true);
        check("https://proxy.example/do", "https://proxy.example/v2/droplets?page=2", false);
        check("https://proxy.example/do", "https://proxy.example/do/../v2/droplets", false);
    }
}

//! `/a/{account}/instances`: the list of an account's instances, and the pages of each, a file for each tab.

mod changes;
mod chart;
mod configuration;
mod connect;
mod danger;
mod events;
mod frame;
mod list;
mod logs;
mod metrics;
mod orders;
mod overview;
mod own_values;

pub(crate) use frame::{Frame, Tab};

use crate::web::pages::Pages;

pub(crate) fn pages(pages: Pages) -> Pages {
    let all = [
        list::pages,
        overview::pages,
        orders::pages,
        connect::pages,
        logs::pages,
        metrics::pages,
        configuration::pages,
        changes::pages,
        events::pages,
        own_values::pages,
        danger::pages,
    ];
    all.into_iter().fold(pages, |pages, more| more(pages))
}

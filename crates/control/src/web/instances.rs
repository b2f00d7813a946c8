//! `/a/{account}/instances`: the list of an account's instances, and the pages of each, a file for each tab.

mod frame;
mod list;
mod logs;
mod orders;
mod overview;

pub(crate) use frame::{Frame, Tab};

use crate::web::pages::Pages;

pub(crate) fn pages(pages: Pages) -> Pages {
    let all = [list::pages, overview::pages, orders::pages, logs::pages];
    all.into_iter().fold(pages, |pages, more| more(pages))
}

//! Orders by form: start, stop and restart of one instance or of many.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;

use crate::app::instances::{self, Order};
use crate::app::{App, Problem};
use crate::web::instances::Tab;
use crate::web::member::PostedBy;
use crate::web::pages::Pages;
use crate::web::see;
use crate::web::visitor::Turned;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}/order", post(order))
}

/// The order of a word; removing is none of them, since it takes a page of its own.
///
/// # Errors
/// 400.
pub(crate) fn order_of(word: &str) -> Result<Order, Problem> {
    match word {
        "start" => Ok(Order::Start),
        "stop" => Ok(Order::Stop),
        "restart" => Ok(Order::Restart),
        _ => Err(Problem::refused(ErrorCode::BadRequest, "an order is `start`, `stop` or `restart`")
            .field("order")),
    }
}

#[derive(Deserialize)]
struct Ordered {
    order: String,
    /// Where the form was, so that one comes back there.
    #[serde(default)]
    tab: String,
}

async fn order(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Ordered>,
) -> Result<Response, Turned> {
    let instance = instances::order(&app, &member.caller, &name, order_of(&form.order)?).await?;
    let tab = Tab::of_path(form.tab.trim_start_matches('/'));
    Ok(see(&format!("/a/{}/instances/{}{}", member.caller.account_name, instance.name, tab.path())))
}

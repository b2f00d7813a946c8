//! The table of pages: what is served, and what of it is an account's, so that tests walk all of it.

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;

use crate::app::App;

/// Pages with their paths.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    router: Router<Arc<App>>,
    paths: Vec<&'static str>,
}

impl Pages {
    /// A page of an account: its path begins with `/a/{account}`.
    pub(crate) fn page(mut self, path: &'static str, methods: MethodRouter<Arc<App>>) -> Self {
        self.paths.push(path);
        self.open(path, methods)
    }

    /// A page that is of no account.
    pub(crate) fn open(self, path: &'static str, methods: MethodRouter<Arc<App>>) -> Self {
        Self { router: self.router.route(path, methods), paths: self.paths }
    }

    /// The router, and the paths of accounts' pages.
    pub(crate) fn into_parts(self) -> (Router<Arc<App>>, Vec<&'static str>) {
        (self.router, self.paths)
    }
}

//! A control plane without its loops, for tests of one of them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::{Config, LocalEnvironment, LocalWay};

/// One whose only machine is this one, with its DTMA at `dtma` and its instances reached in that way. It lies in the directory.
pub(crate) async fn app(dtma: SocketAddr, local_way: LocalWay) -> (tempfile::TempDir, Arc<App>) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        local: Some(LocalEnvironment { dtma, sockets: dir.path().join("sockets"), token: None }),
        local_way,
        ..Config::new(dir.path().join("control"), crate::Public::new("http://127.0.0.1:1", None).unwrap())
    };
    crate::setup(&config).await.unwrap();
    let app = crate::serve::assemble(&config, CancellationToken::new()).await.unwrap();
    (dir, app)
}

/// Where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

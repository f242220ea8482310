//! The simulated API on a port of this machine, for kubectl.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sim::api::Api;

/// Connections at once; others are closed as they come. kubectl takes one or two.
const CONNECTIONS: usize = 64;

/// Answers until `stop`; waits for it where there is no port.
///
/// No time-outs: they would be of virtual time, and cut off a person who is sixty times as slow. Who reaches a loopback
/// port is on this machine, and there is nothing in a simulated cluster to protect.
pub(super) async fn serve(listener: Option<TcpListener>, api: Arc<Api>, stop: CancellationToken) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            // No file descriptors, for example: others may be given back meanwhile.
            tokio::task::yield_now().await;
            continue;
        };
        if connections.len() >= CONNECTIONS {
            continue;
        }
        let api = api.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let api = api.clone();
                async move { Ok::<_, Infallible>(api.answer(request).await) }
            });
            // A client that goes away is none of our errors.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

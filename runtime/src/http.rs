//! HTTP on a socket: so many connections at a time, and none that is idle for long.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// How long the head of a request may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// After a connection could not be accepted, as when there are no files left.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers requests on that socket for ever, on so many connections at a time; further ones wait.
///
/// # Cancel safety
/// Cancelled, it stops: what is being answered is dropped.
pub(crate) async fn serve<F>(
    listener: &TcpListener,
    connections_max: usize,
    respond: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept(), if connections.len() < connections_max => match accepted {
                Ok((stream, _)) => connections.push(answer(stream, &respond)),
                Err(error) => {
                    tracing::warn!(target: "qmesh::runtime", %error, "no connection for HTTP");
                    sleep(PAUSE).await;
                }
            },
            Some(()) = connections.next() => {}
        }
    }
}

async fn answer<F>(stream: TcpStream, respond: &impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let respond = |request| async { Ok::<_, Infallible>(respond(request).await) };
    let mut http = http1::Builder::new();
    let connection = http
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    if let Err(error) = connection.await {
        tracing::debug!(target: "qmesh::runtime", %error, "a connection for HTTP broke");
    }
}

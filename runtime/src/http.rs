//! HTTP on a socket: so many connections at a time, each for one request.
//!
//! A peer can be slow with the head of its request and with reading the answer, and has a bounded time for both: so none
//! keeps a connection, and those who wait for one get it.

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
    sync::Notify,
    time::sleep,
};

/// How long the head of a request may take.
const HEAD_MAX: Duration = Duration::from_secs(5);
/// How long a peer may take to read its answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
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
            stream = accept(listener), if connections.len() < connections_max => {
                connections.push(answer(stream, &respond, ANSWER_MAX));
            }
            Some(()) = connections.next() => {}
        }
    }
}

/// The next connection, however long that takes.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(target: "qmesh::runtime", %error, "no connection for HTTP");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one request, which the peer has so long to read.
async fn answer<F>(stream: TcpStream, respond: &impl Fn(Request<Incoming>) -> F, answer_max: Duration)
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    let answered = Notify::new();
    let respond = |request| async {
        let response = respond(request).await;
        answered.notify_one();
        Ok::<_, Infallible>(response)
    };
    let mut http = http1::Builder::new();
    let connection = http
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    let unread = async {
        answered.notified().await;
        sleep(answer_max).await;
    };
    tokio::select! {
        biased;
        ended = connection => if let Err(error) = ended {
            tracing::debug!(target: "qmesh::runtime", %error, "a connection for HTTP broke");
        },
        () = unread => tracing::debug!(target: "qmesh::runtime", "a peer does not read its answer by HTTP"),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::{Instant, timeout},
    };

    use super::*;

    /// More than the buffers of two sockets hold.
    const BYTES: usize = 64 << 20;
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const LONG: Duration = Duration::from_secs(20);

    fn respond(_request: Request<Incoming>) -> Ready<Response<Full<Bytes>>> {
        ready(Response::new(Full::new(Bytes::from(vec![b'.'; BYTES]))))
    }

    /// Both ends of a connection.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (accept(&listener).await, peer)
    }

    #[tokio::test]
    async fn a_peer_that_asks_and_does_not_read_is_closed() {
        let (stream, mut peer) = connection().await;
        peer.write_all(&REQUEST.repeat(100)).await.unwrap();
        let patience = Duration::from_millis(200);
        let began = Instant::now();
        timeout(LONG, answer(stream, &respond, patience)).await.expect("it is closed");
        assert!(began.elapsed() >= patience, "its answer has its time");
    }

    #[tokio::test]
    async fn a_peer_that_reads_gets_all_of_one_answer() {
        let (stream, mut peer) = connection().await;
        peer.write_all(REQUEST).await.unwrap();
        let mut told = Vec::new();
        let both = async { tokio::join!(answer(stream, &respond, LONG), peer.read_to_end(&mut told)) };
        timeout(LONG, both).await.expect("it ends with the answer").1.unwrap();
        let head = String::from_utf8_lossy(&told[..told.len() - BYTES]);
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close\r\n"), "{head}");
    }
}

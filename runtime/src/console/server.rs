//! Requests of browsers, and their answers: the pages, and the answers of the node to what they ask.

use std::{sync::Weak, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE},
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    console::{
        answers,
        guard::{Guard, Refused},
        pages,
    },
    http,
    node::{NodeInner, control},
    task::Place,
};

/// Connections at a time. Further ones wait. A browser has up to six.
const CONNECTIONS_MAX: usize = 64;
/// Questions that are being read or answered, at a time. Further ones wait.
const QUESTIONS_MAX: usize = 16;
/// How long a question may take to arrive.
const BODY_MAX: Duration = Duration::from_secs(10);

/// What every answer says: nothing but our own files is loaded, nobody shows the pages in a frame, and nobody keeps them.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'",
    ),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The id of a call's trace.
const TRACE: HeaderName = HeaderName::from_static("x-qmesh-trace");

type Answered = Response<Full<Bytes>>;

/// What answers.
pub(super) struct Server {
    pub(super) node: Weak<NodeInner>,
    /// Where the node runs: what it starts for a question runs there, too.
    pub(super) place: Place,
    pub(super) guard: Guard,
}

impl Server {
    /// Answers requests until the end.
    pub(super) async fn run(self, listener: TcpListener, end: CancellationToken) {
        let questions = Semaphore::new(QUESTIONS_MAX);
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            () = http::serve(&listener, CONNECTIONS_MAX, |request| self.respond(request, &questions)) => {}
        }
    }

    async fn respond(&self, request: Request<Incoming>, questions: &Semaphore) -> Answered {
        let path = request.uri().path().to_owned();
        let answered = if path.starts_with("/api/") {
            self.ask(&path, request, questions).await
        } else {
            self.page(&path, &request)
        };
        let mut response = answered.unwrap_or_else(|Refused(status, why)| {
            let mut response = of_kind("text/plain; charset=utf-8", why);
            *response.status_mut() = status;
            response
        });
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = if path.starts_with("/api/") { "POST" } else { "GET" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    fn page(&self, path: &str, request: &Request<Incoming>) -> Result<Answered, Refused> {
        self.guard.page(request.headers())?;
        if request.method() != Method::GET {
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "GET alone"));
        }
        let page = pages::find(path).ok_or(Refused(StatusCode::NOT_FOUND, "there is no such page"))?;
        Ok(of_kind(page.kind, page.text))
    }

    /// A question of the node, and its answer, as JSON.
    async fn ask(
        &self,
        path: &str,
        request: Request<Incoming>,
        questions: &Semaphore,
    ) -> Result<Answered, Refused> {
        if request.method() != Method::POST {
            return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "POST alone"));
        }
        self.guard.question(request.headers())?;
        let gone = Refused(StatusCode::SERVICE_UNAVAILABLE, "the node has stopped");
        let node = self.node.upgrade().filter(|node| !node.has_ended()).ok_or(gone)?;
        let _permit = questions.acquire().await.map_err(|_closed| gone)?;
        let body = read(request, control::question_bytes_max(&node.config().limits)).await?;
        let said = match path {
            "/api/ask" => {
                let unclear = Refused(StatusCode::BAD_REQUEST, "this is no question that a node knows");
                let query = serde_json::from_slice(&body).map_err(|_no_question| unclear)?;
                self.place.within(Box::pin(answers::answer(&node, query))).await
            }
            "/api/traffic" => self.place.within(Box::pin(answers::traffic(&node))).await,
            _ => return Err(Refused(StatusCode::NOT_FOUND, "there is no such question")),
        };
        let no_json = Refused(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written");
        let mut response = of_kind("application/json", said.json.map_err(|_no_json| no_json)?);
        if let Some(trace) = said.trace.and_then(|trace| HeaderValue::from_str(&trace).ok()) {
            response.headers_mut().insert(TRACE, trace);
        }
        Ok(response)
    }
}

/// The body of a request, of so many bytes at most.
async fn read(request: Request<Incoming>, bytes_max: usize) -> Result<Bytes, Refused> {
    let too_large = Refused(StatusCode::PAYLOAD_TOO_LARGE, "the question is too large, or was cut");
    if request.body().size_hint().lower() > bytes_max as u64 {
        return Err(too_large);
    }
    let body = timeout(BODY_MAX, Limited::new(request, bytes_max).collect()).await;
    let late = Refused(StatusCode::REQUEST_TIMEOUT, "the question took too long to arrive");
    Ok(body.map_err(|_late| late)?.map_err(|_too_large| too_large)?.to_bytes())
}

fn of_kind(kind: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

//! instant-acme's requests, sent by awc. Its futures must be `Send` and awc's are not: a request
//! goes to a task on this thread, which answers through a channel.
//!
//! Each request has a connection of its own: one that was kept might be closed by now, or hold
//! bytes that are left from another answer. Redirects are not followed (RFC 8555 has none), `http`
//! is refused, an answer has 1 MiB at most, and every step its time. What the CA refuses comes back
//! as a `Refusal`, which keeps the `Retry-After` that instant-acme drops.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::error::{Refusal, Unreachable};
use crate::error::chain;

const CONNECT: Duration = Duration::from_secs(10);
/// From the first byte sent to the last one received.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST_ANSWER: usize = 1 << 20;
/// The one problem that instant-acme answers itself (RFC 8555 section 6.5).
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Sends requests as long as it lives.
pub(super) struct AwcClient {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    request: Request<Bytes>,
    answer: oneshot::Sender<Result<BytesResponse, Error>>,
}

type Sent<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl AwcClient {
    /// Must be called on a thread whose runtime takes local tasks.
    pub(super) fn start(tls: rustls::ClientConfig) -> Self {
        let (jobs, mut received) = mpsc::channel::<Job>(1);
        let client = client(tls);
        actix_rt::spawn(async move {
            while let Some(job) = received.recv().await {
                // Nobody waits any more if the order was given up.
                let _ = job.answer.send(send(&client, job.request).await);
            }
        });
        Self { jobs }
    }
}

impl HttpClient for AwcClient {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Sent<BytesResponse> {
        let jobs = self.jobs.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let (answer, answered) = oneshot::channel();
            let job = Job { request: Request::from_parts(head, body), answer };
            let ended = |_| Error::Str("the task that sends requests");
            jobs.send(job).await.map_err(|_| ended(()))?;
            answered.await.map_err(|_| ended(()))?
        })
    }
}

fn client(mut tls: rustls::ClientConfig) -> awc::Client {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = awc::Connector::new().timeout(CONNECT).rustls_0_23(Arc::new(tls));
    awc::Client::builder().connector(connector).disable_redirects().timeout(PATIENCE).finish()
}

async fn send(client: &awc::Client, request: Request<Bytes>) -> Result<BytesResponse, Error> {
    let url = request.uri().to_string();
    let exchanged = timeout(PATIENCE, exchange(client, request, &url)).await;
    let response =
        exchanged.unwrap_or(Err(Unreachable::Silent { url: url.clone(), patience: PATIENCE }));
    let (head, body) = response.map_err(other)?.into_parts();
    if let Some(refusal) = refusal(&head, &body, &url) {
        return Err(other(refusal));
    }
    Ok(BytesResponse { parts: head, body: Box::new(body) })
}

async fn exchange(
    client: &awc::Client,
    request: Request<Bytes>,
    url: &str,
) -> Result<http::Response<Bytes>, Unreachable> {
    if request.uri().scheme_str() != Some("https") {
        return Err(Unreachable::Plain { url: url.to_owned() });
    }
    let method = match *request.method() {
        Method::HEAD => actix_http::Method::HEAD,
        Method::POST => actix_http::Method::POST,
        _ => actix_http::Method::GET,
    };
    let mut sent = client.request(method, url).force_close();
    for (name, value) in request.headers() {
        sent = sent.append_header((name.as_str(), value.as_bytes()));
    }
    let failed = |text| Unreachable::Send { url: url.to_owned(), text };
    let mut answer = match request.into_body() {
        body if body.is_empty() => sent.send().await,
        body => sent.send_body(body).await,
    }
    .map_err(|error| failed(chain(&error)))?;
    let broke_off = |text| Unreachable::Body { url: url.to_owned(), text };
    let body = answer.body().limit(LARGEST_ANSWER).await;
    let body = body.map_err(|error| broke_off(chain(&error)))?;
    let mut response = http::Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status().as_u16())
        .map_err(|error| failed(error.to_string()))?;
    for (name, value) in answer.headers() {
        let name = header::HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// `None` for what instant-acme understands.
fn refusal(head: &http::response::Parts, body: &[u8], url: &str) -> Option<Refusal> {
    if head.status.is_success() {
        return None;
    }
    let status = head.status.as_u16();
    let retry_after = head.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| retry_after_of(value, SystemTime::now()));
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.r#type.as_deref() == Some(BAD_NONCE) => None,
        Ok(problem) if problem.r#type.is_some() => {
            Some(Refusal::new(status, &problem, retry_after))
        }
        Ok(_) | Err(_) => Some(Refusal::foreign(status, url, retry_after)),
    }
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after_of(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<&str>, body: &str) -> Option<Refusal> {
        let mut response = http::Response::builder().status(status);
        if let Some(value) = retry_after {
            response = response.header("retry-after", value);
        }
        let (head, ()) = response.body(()).expect("is valid").into_parts();
        refusal(&head, body.as_bytes(), "https://ca.test/order")
    }

    #[test]
    fn a_refusal_keeps_what_the_ca_says_and_how_long_to_wait() {
        let problem = r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"}"#;
        let refusal = answered(429, Some("120"), problem).expect("is one");
        assert_eq!(refusal.to_string(), "too many (rateLimited, status 429)");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(120)));
    }

    #[test]
    fn what_instant_acme_understands_is_left_to_it() {
        assert_eq!(answered(200, None, "{}"), None);
        assert_eq!(answered(201, None, ""), None);
        let problem = format!(r#"{{"type": "{BAD_NONCE}"}}"#);
        assert_eq!(answered(400, None, &problem), None);
    }

    #[test]
    fn an_answer_that_is_no_problem_is_a_foreigner_s() {
        for (status, body) in [(404, "<html>"), (500, ""), (302, ""), (400, "{}"), (403, "[]")] {
            let refusal = answered(status, None, body).expect("is one");
            assert_eq!(
                refusal.to_string(),
                format!("https://ca.test/order (no ACME problem, status {status})")
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:00 GMT").expect("is a date");
        let read = |text| retry_after_of(&HeaderValue::from_static(text), now);
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(37)));
        assert_eq!(read("Sun, 06 Nov 1994 08:48:37 GMT"), None);
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}

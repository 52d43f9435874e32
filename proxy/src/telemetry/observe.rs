//! Stage: gives each request its id and its record, sees every answer, and closes the record with
//! the last byte of the body or when the request is cut.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_http::{
    Method, RequestHead, StatusCode, Version,
    header::{self, HeaderValue},
};
use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use bytes::Bytes;

use crate::{
    error::{ProxyError, Reason},
    guard::Conn,
    headers::{
        request_id::{self, X_REQUEST_ID},
        trace,
    },
    record::{LoggedHead, RequestRecord},
    routing::stage::host,
    worker::Worker,
};

/// Runs the stages behind it.
///
/// # Errors
/// None of its own; stages answer failures themselves.
pub async fn observe(
    worker: Rc<Worker>,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<Observed>, Error> {
    let conn = request.conn_data::<Rc<Conn>>().cloned();
    let record = Rc::new(open(&worker, request.head(), conn));
    record.payload.replace(request.take_payload());
    request.extensions_mut().insert(Rc::clone(&record));
    worker.shard.request_started();
    // An older client knows the end of a body without length by the end of the connection alone.
    let resets = request.version() < Version::HTTP_11;
    let open = OpenRecord { worker, record, resets, is_whole: false };
    let mut response = next.call(request).await?;
    open.record.status.set(Some(response.status()));
    response.headers_mut().insert(X_REQUEST_ID, open.record.request_id.clone());
    Ok(response.map_body(|head, body| Observed::new(head.status, body, open)))
}

/// The record of a request; every stage behind `observe` finds one.
pub fn record(request: &ServiceRequest) -> Rc<RequestRecord> {
    let extensions = request.extensions();
    Rc::clone(extensions.get().expect("observe runs before every other stage"))
}

fn open(worker: &Worker, head: &RequestHead, conn: Option<Rc<Conn>>) -> RequestRecord {
    let peer = head.peer_addr.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let id = request_id::choose(&head.headers);
    let mut record = RequestRecord::new(id, head.method.clone(), peer);
    record.conn = conn;
    if worker.access_log.is_some() {
        record.trace_id = trace::trace_id(&head.headers);
        record.logged = Some(LoggedHead {
            target: head.uri.path_and_query().cloned(),
            host: HeaderValue::from_bytes(host(head)).ok(),
            user_agent: head.headers.get(header::USER_AGENT).cloned(),
        });
    }
    record
}

/// Closes the record when dropped.
struct OpenRecord {
    worker: Rc<Worker>,
    record: Rc<RequestRecord>,
    /// Whether a cut answer would look whole to the client if its connection were closed in order.
    resets: bool,
    /// Whether the answer went out to its end.
    is_whole: bool,
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let (worker, record) = (&self.worker, &self.record);
        if !self.is_whole && record.reason.get().is_none() {
            record.reason.set(Some(Reason::ClientClosed));
        }
        let duration = record.started.elapsed();
        worker.shard.request_ended(record, duration);
        if let Some(conn) = &record.conn {
            conn.answered();
        }
        if let Some(log) = &worker.access_log {
            log.write(record, duration, &worker.gateway);
        }
    }
}

/// A body on its way to the client.
pub struct Observed {
    body: BoxBody,
    size: BodySize,
    /// Why the body broke off; told to actix one poll later.
    failure: Option<Box<dyn std::error::Error>>,
    open: OpenRecord,
}

impl Observed {
    /// Takes care that what cannot have a body has none: actix would write it all the same, and
    /// the client take it for the next answer (RFC 9112 section 6.3).
    fn new(status: StatusCode, body: BoxBody, mut open: OpenRecord) -> Self {
        let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        let is_head = open.record.method == Method::HEAD;
        let size = if has_none { BodySize::None } else { body.size() };
        let body = if has_none || is_head { BoxBody::new(()) } else { body };
        // actix drops an empty body without asking it for an end.
        open.is_whole = is_head || matches!(size, BodySize::None | BodySize::Sized(0));
        Self { body, size, failure: None, open }
    }

    fn count(&mut self, bytes: &Bytes) {
        let sent = &self.open.record.bytes_out;
        sent.set(sent.get() + bytes.len() as u64);
        if matches!(self.size, BodySize::Sized(size) if sent.get() >= size) {
            self.open.is_whole = true;
        }
    }
}

impl MessageBody for Observed {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let next = ready!(Pin::new(&mut this.body).poll_next(cx));
        match &next {
            Some(Ok(bytes)) => this.count(bytes),
            Some(Err(error)) => {
                let reason = error.downcast_ref().map_or(Reason::UpstreamReset, ProxyError::reason);
                this.open.record.reason.set(Some(reason));
                if let Some(conn) = this.open.record.conn.as_ref().filter(|_| this.open.resets) {
                    conn.reset();
                }
            }
            None => this.open.is_whole = true,
        }
        match next {
            // With an error actix drops what it has not written yet, be it the head. Waiting once
            // lets it write what came before.
            Some(Err(error)) => {
                this.failure = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            next => Poll::Ready(next),
        }
    }
}

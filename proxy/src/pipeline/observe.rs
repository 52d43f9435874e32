//! Gives each request its id and its record, sees the answer of the stages, and closes the record with
//! the last byte of the body or when the request is cut.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_http::{
    Method, RequestHead, StatusCode,
    header::{self, HeaderValue},
};
use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
};
use bytes::Bytes;

use super::ANSWERS;
use crate::{
    downstream::Client,
    error::{ProxyError, Reason},
    headers::{lines::FieldLines, request_id, trace},
    record::{LoggedHead, RequestRecord},
    routing::stage::host,
    worker::Worker,
};

/// The record of a request; every stage finds one.
pub fn record(request: &ServiceRequest) -> Rc<RequestRecord> {
    let extensions = request.extensions();
    Rc::clone(extensions.get().expect("a request has a record before the first stage"))
}

/// Sees the answer of the stages to a request that was opened.
///
/// # Errors
/// None of its own; stages answer failures themselves.
pub async fn observe(
    open: OpenRecord,
    answering: impl Future<Output = Result<ServiceResponse, Error>>,
) -> Result<ServiceResponse<Observed>, Error> {
    let mut response = answering.await?;
    open.record.status.set(Some(response.status()));
    ANSWERS.iter().for_each(|finish| finish(&open.record, &mut response));
    Ok(response.map_body(|head, body| Observed::new(head.status, body, open)))
}

/// The record of a request that has just been read. Closes it when dropped.
pub struct OpenRecord {
    worker: Rc<Worker>,
    pub record: Rc<RequestRecord>,
    /// Whether the answer went out to its end.
    is_whole: bool,
}

impl OpenRecord {
    pub fn new(worker: &Rc<Worker>, head: &RequestHead, from: Client) -> Self {
        let peer = head.peer_addr.map(|peer| peer.ip());
        let id = request_id::choose(&head.headers);
        let mut record = RequestRecord::new(worker.site(), from, id, head.method.clone(), peer);
        if worker.access_log.is_some() {
            record.trace_id = trace::trace_id(&head.headers);
            record.logged = Some(LoggedHead {
                target: head.uri.path_and_query().cloned(),
                host: HeaderValue::from_bytes(host(head)).ok(),
                user_agent: head.headers.get(header::USER_AGENT).cloned(),
            });
        }
        worker.shard.request_started();
        Self { worker: Rc::clone(worker), record: Rc::new(record), is_whole: false }
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        let (worker, record) = (&self.worker, &self.record);
        if let Some(in_flight) = record.in_flight.take() {
            in_flight.ended(record.reason.get());
        }
        record.permit.take();
        record.limited.take();
        if !self.is_whole && record.reason.get().is_none() {
            record.reason.set(Some(record.from.why_cut()));
        }
        let duration = record.started.elapsed();
        worker.shard.request_ended(record, duration);
        if let Some(log) = &worker.access_log {
            log.write(record, duration);
        }
    }
}

/// A body on its way to the client.
pub struct Observed {
    body: BoxBody,
    size: BodySize,
    open: OpenRecord,
}

impl Observed {
    /// Takes care that what cannot have a body has none (RFC 9112 section 6.3).
    fn new(status: StatusCode, body: BoxBody, mut open: OpenRecord) -> Self {
        let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        let is_head = open.record.method == Method::HEAD;
        let size = if has_none { BodySize::None } else { body.size() };
        let body = if has_none || is_head { BoxBody::new(()) } else { body };
        // An empty body is never asked for its end.
        open.is_whole = is_head || matches!(size, BodySize::None | BodySize::Sized(0));
        Self { body, size, open }
    }

    /// The fields of the upstream's answer.
    pub fn passed_fields(&self) -> FieldLines {
        self.open.record.passed_fields.take()
    }

    /// What was given to the connection did not reach the client.
    pub fn broke_off(mut self) {
        self.open.is_whole = false;
        let record = &self.open.record;
        record.reason.set(record.reason.get().or_else(|| Some(record.from.why_cut())));
    }

    /// Behind a 101: lets bytes pass both ways, to their end.
    pub async fn run_tunnel(self) {
        let record = &self.open.record;
        let tunnel = record.tunnel.take();
        // HTTP/2 has no 101 (RFC 9113 section 8.6).
        if let (Some(tunnel), Client::Http1(conn)) = (tunnel, &record.from) {
            tunnel.run(conn, record).await;
        }
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
        let next = ready!(Pin::new(&mut this.body).poll_next(cx));
        match &next {
            Some(Ok(bytes)) => this.count(bytes),
            Some(Err(error)) => {
                let reason = error.downcast_ref().map_or(Reason::UpstreamReset, ProxyError::reason);
                this.open.record.reason.set(Some(reason));
            }
            None => this.open.is_whole = true,
        }
        Poll::Ready(next)
    }
}

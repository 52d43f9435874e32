//! Sends one request to an endpoint of its service and turns the answer into ours.

use std::{rc::Rc, time::Instant};

use actix_http::header::{self, HeaderValue};
use actix_web::{HttpResponse, dev::ServiceRequest};
use bytes::BytesMut;

use super::tunnel::Tunnel;
use crate::{
    config::{BodyLimit, HeaderRules, Timeouts, UpstreamHost},
    error::{ProxyError, Reason},
    record::RequestRecord,
    request::upgrade,
    routing::{Route, RouteMatch, stage::host},
    service::{Endpoint, Service},
    upstream::{
        Answer, Asked, Bounds, Connection, RequestBody, RequestFraming, ResponseBody, SendFailure,
        request_head::{self, RequestLine},
        send,
    },
    worker::Worker,
};

/// A request, ready to be sent as often as need be.
pub(super) struct Attempts<'a> {
    worker: &'a Worker,
    service: &'a Service,
    record: &'a Rc<RequestRecord>,
    request: &'a ServiceRequest,
    framing: RequestFraming,
    limit: BodyLimit,
    timeouts: Timeouts,
    /// The rewritten path; `None` if it goes as it came.
    path: Option<Vec<u8>>,
    fields: BytesMut,
    rules: &'a HeaderRules,
    /// The protocols that the client offers to switch to.
    upgrade: Option<&'a HeaderValue>,
}

impl<'a> Attempts<'a> {
    pub(super) fn prepare(
        worker: &'a Worker,
        request: &'a ServiceRequest,
        service: &'a Service,
        route: &'a Route,
        found: &RouteMatch,
        record: &'a Rc<RequestRecord>,
    ) -> Result<Self, Reason> {
        let framing = framing(request)?;
        let limit = route.config.max_body.unwrap_or(worker.gateway.max_body);
        if matches!(framing, RequestFraming::Length(length) if !limit.allows(length)) {
            return Err(Reason::BodyTooLarge);
        }
        let mut path = Vec::new();
        let is_rewritten = route.write_template(found, record.path(request.uri()), &mut path);
        Ok(Self {
            worker,
            service,
            record,
            request,
            framing,
            limit,
            timeouts: service.timeouts.overridden(route.config.timeouts),
            path: is_rewritten.then_some(path),
            fields: record.upstream_fields.take(),
            rules: &route.config.response_headers,
            upgrade: upgrade(request.head()),
        })
    }

    /// One endpoint; a second connection to it if the first turns out to have been closed.
    pub(super) async fn run(&self) -> Result<HttpResponse, ProxyError> {
        let endpoint = self.service.pick(&mut self.worker.rng.borrow_mut());
        self.record.endpoint.set(Some(endpoint.index));
        let mut body = RequestBody {
            framing: self.framing,
            limit: self.limit,
            record: Rc::clone(self.record),
        };
        let mut pooled = self.worker.pool(endpoint.index).take();
        loop {
            self.record.attempts.set(self.record.attempts.get() + 1);
            let connection = match pooled.take() {
                Some(connection) => connection,
                // Boxed: it is rare, and every request would carry its size.
                None => Box::pin(self.connect(endpoint)).await?,
            };
            let sent = self.exchange(endpoint, connection, body).await;
            let code = sent.as_ref().ok().map(|answer| answer.head.status.as_u16());
            self.worker.shard.upstream_answered(endpoint.index, code);
            match sent {
                Ok(answer) => return Ok(self.respond(answer)),
                Err(failure) => match failure.replay {
                    Some(unsent) => body = unsent,
                    None => return Err(failure.error),
                },
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, ProxyError> {
        let started = Instant::now();
        let connected = self.worker.dialer(endpoint.index).connect(self.timeouts.connect).await;
        match &connected {
            Ok(_) => self.worker.shard.upstream_connected(endpoint.index, started.elapsed()),
            Err(_) => self.worker.shard.upstream_answered(endpoint.index, None),
        }
        connected
    }

    fn exchange(
        &self,
        endpoint: &Endpoint,
        connection: Connection,
        body: RequestBody,
    ) -> impl Future<Output = Result<Answer, SendFailure>> {
        let head = self.head(endpoint);
        let bounds = Bounds {
            response: self.timeouts.response,
            idle: self.timeouts.idle,
            head_bytes: self.service.response_head_bytes,
        };
        let pool = self.worker.pool(endpoint.index);
        let asked =
            Asked { method: self.request.method(), upgrade: self.upgrade, rules: self.rules };
        send(connection, head, body, asked, bounds, &self.worker.deadlines, pool)
    }

    fn head(&self, endpoint: &Endpoint) -> BytesMut {
        let given = self.record.path(self.request.uri()).as_bytes();
        let path = self.path.as_deref().unwrap_or(given);
        let client_host = host(self.request.head());
        let line = RequestLine {
            method: self.request.method(),
            base: &endpoint.base,
            path: if path.is_empty() && endpoint.base.is_empty() { b"/" } else { path },
            query: self.request.uri().query(),
            host: match &self.service.host {
                UpstreamHost::Preserve if !client_host.is_empty() => client_host,
                UpstreamHost::Preserve | UpstreamHost::Endpoint => endpoint.authority.as_bytes(),
                UpstreamHost::Named(name) => name.as_bytes(),
            },
        };
        request_head::write(&line, self.framing, self.upgrade, &self.fields)
    }

    fn respond(&self, answer: Answer) -> HttpResponse {
        let body = match answer.body {
            ResponseBody::Tunnel(upstream) => {
                let (limits, counted) = (self.service.tunnel, self.worker.shard.open_tunnel());
                let tunnel = Tunnel::new(*upstream, limits, &self.worker.deadlines, counted);
                self.record.tunnel.replace(Some(tunnel));
                ResponseBody::Empty(None)
            }
            body => body,
        };
        self.record.passed_fields.replace(answer.head.fields);
        HttpResponse::with_body(answer.head.status, body).map_into_boxed_body()
    }
}

/// `http1/` has checked the length fields: one `Content-Length`, or `chunked` alone.
fn framing(request: &ServiceRequest) -> Result<RequestFraming, Reason> {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(RequestFraming::Chunked);
    }
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => {
            let length = length.to_str().ok().and_then(|text| text.trim().parse().ok());
            length.map(RequestFraming::Length).ok_or(Reason::BadRequest)
        }
        None => Ok(RequestFraming::None),
    }
}

//! What a request looks like on its way upstream: its head, how its body is framed, and how long
//! it may take. Made once; each try writes it anew, for endpoints differ in host and base path.

use actix_http::Method;
use actix_http::header::{self, HeaderValue};
use actix_web::dev::ServiceRequest;
use bytes::BytesMut;
use tokio::time::Instant;

use crate::{
    config::{BodyLimit, HeaderRules, NameCase, Timeouts, UpstreamHost},
    error::Reason,
    record::RequestRecord,
    request::{target::Raw, upgrade},
    routing::{Route, RouteMatch, rewrite::joined, stage::host},
    service::{Endpoint, Service},
    upstream::{
        Asked, Bounds, RequestBody, RequestFraming,
        request_head::{self, RequestLine},
    },
};

pub(super) struct Outgoing<'a> {
    service: &'a Service,
    record: &'a RequestRecord,
    request: &'a ServiceRequest,
    pub(super) framing: RequestFraming,
    pub(super) limit: BodyLimit,
    case: NameCase,
    pub(super) timeouts: Timeouts,
    /// The rewritten path; `None` if it goes as it came.
    path: Option<Vec<u8>>,
    /// The query of the rewrite and that of the request; `None` if that goes as it came.
    query: Option<Vec<u8>>,
    /// Path and query as they came, if the request has them otherwise.
    raw: Option<Raw>,
    fields: BytesMut,
    /// Whether the credentials in them are for the connection to the endpoint.
    signs_in: bool,
    rules: &'a HeaderRules,
    /// The protocols that the client offers to switch to.
    pub(super) upgrade: Option<&'a HeaderValue>,
}

impl<'a> Outgoing<'a> {
    pub(super) fn prepare(
        request: &'a ServiceRequest,
        service: &'a Service,
        (route, found): (&'a Route, &RouteMatch),
        record: &'a RequestRecord,
    ) -> Result<Self, Reason> {
        let gateway = &record.site.gateway;
        let framing = framing(request)?;
        let limit = route.config.max_body.unwrap_or(gateway.max_body);
        if matches!(framing, RequestFraming::Length(length) if !limit.allows(length)) {
            return Err(Reason::BodyTooLarge);
        }
        let raw = record.from.raw_target();
        let (path, query) = match route.fill_template(found, record.path(request.uri())) {
            Some(target) => {
                let given = given_query(raw.as_ref(), request);
                let query = target.query.and_then(|own| joined(Some(own), given));
                (Some(target.path), query)
            }
            None => (None, None),
        };
        let passed = &mut *record.passed.borrow_mut();
        let fields = std::mem::take(&mut passed.fields);
        Ok(Self {
            service,
            record,
            request,
            framing,
            limit,
            case: gateway.case,
            timeouts: service.timeouts.overridden(route.config.timeouts),
            path,
            query,
            raw,
            fields,
            signs_in: passed.signs_in,
            rules: &route.config.response_headers,
            upgrade: upgrade(request.head()),
        })
    }

    pub(super) fn method(&self) -> &Method {
        self.request.method()
    }

    /// Whether the client has come by `https`, here or to a trusted proxy before.
    pub(super) fn is_secured(&self) -> bool {
        let trusted = &self.record.site.gateway.trusted_proxies;
        let arrival = self.record.from.arrival();
        let peer = arrival.peer.map(|peer| peer.ip());
        arrival.tls.is_some() || trusted.says_https(peer, self.request.headers())
    }

    /// When the whole exchange must have ended. What has switched protocols lasts as long as it
    /// likes: the end is that of the answer, and a tunnel has none.
    pub(super) fn end(&self) -> Option<Instant> {
        Some(self.record.started + self.timeouts.total?)
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            method: self.request.method(),
            upgrade: self.upgrade,
            signs_in: self.signs_in,
            rules: self.rules,
        }
    }

    pub(super) fn bounds(&self, end: Option<Instant>) -> Bounds {
        Bounds {
            response: self.timeouts.response,
            idle: self.timeouts.idle,
            end,
            head: self.service.response_head,
        }
    }

    /// What `Host` says to an endpoint of `service`.
    pub(super) fn host<'b>(&'b self, service: &'b Service, endpoint: &'b Endpoint) -> &'b [u8] {
        let given = host(self.request.head());
        match &service.host {
            UpstreamHost::Preserve if !given.is_empty() => given,
            UpstreamHost::Preserve | UpstreamHost::Endpoint => endpoint.authority.as_bytes(),
            UpstreamHost::Named(name) => name.as_bytes(),
        }
    }

    /// The head for an endpoint of `service`, which is told what is left until `end`.
    pub(super) fn head(
        &self,
        service: &Service,
        endpoint: &Endpoint,
        end: Option<Instant>,
    ) -> BytesMut {
        self.write_head(service, endpoint, self.framing, end, self.upgrade)
    }

    /// The same for a copy with `body`: it offers no switch, for nobody would use what came of it.
    pub(super) fn copied_head(
        &self,
        service: &Service,
        endpoint: &Endpoint,
        body: &RequestBody,
    ) -> BytesMut {
        let framing = match body.framing() {
            RequestFraming::None => self.framing,
            of_body => of_body,
        };
        self.write_head(service, endpoint, framing, None, None)
    }

    /// Path and query. Where some of a path is resolved or rewritten, all of it is percent-encoded as a
    /// URI must be.
    fn target(&self) -> (&[u8], Option<&[u8]>) {
        let uri = self.request.uri();
        let given = self.record.path(uri).as_bytes();
        let path = self.path.as_deref().unwrap_or(given);
        let query = self.query.as_deref().or_else(|| given_query(self.raw.as_ref(), self.request));
        let Some(raw) = &self.raw else { return (path, query) };
        let is_as_it_came = self.path.is_none() && self.record.normal_path.get().is_none();
        (if is_as_it_came { &raw.path } else { path }, query)
    }

    fn write_head(
        &self,
        service: &Service,
        endpoint: &Endpoint,
        framing: RequestFraming,
        end: Option<Instant>,
        upgrade: Option<&HeaderValue>,
    ) -> BytesMut {
        let (path, query) = self.target();
        let line = RequestLine {
            method: self.request.method(),
            base: &endpoint.base,
            path: if path.is_empty() && endpoint.base.is_empty() { b"/" } else { path },
            query,
            host: self.host(service, endpoint),
            case: self.case,
        };
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        request_head::write(&line, framing, upgrade, left, &self.fields)
    }
}

/// The query as it came.
fn given_query<'a>(raw: Option<&'a Raw>, request: &'a ServiceRequest) -> Option<&'a [u8]> {
    match raw {
        Some(raw) => raw.query.as_deref(),
        None => request.uri().query().map(str::as_bytes),
    }
}

/// RFC 9110 section 8.6: that there is no content is said where the method has a meaning for it.
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
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
        None if expects_content(request.method()) => Ok(RequestFraming::Length(0)),
        None => Ok(RequestFraming::None),
    }
}

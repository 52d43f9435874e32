//! Another server decides about each request: it is shown a GET with the request's fields, and what
//! was asked for in `X-Forwarded-*`. The body stays here.
//!
//! What it is shown is what is routed: the normal path, and no field by which the client could say
//! otherwise. With 2xx it lets the client in, and its `copy_headers` go upstream; 3xx and 4xx are
//! answers to the client; all else is no answer. Bound: 64 KiB of body.

use std::{fmt::Display, rc::Rc, time::Duration};

use actix_http::{
    Method,
    header::{self, HeaderName, HeaderValue},
};
use actix_web::{HttpResponse, body::BoxBody};
use bytes::{Bytes, BytesMut};

use super::{Asked, Checked, Identity, Parts, Refused};
use crate::{
    config::{ForwardConfig, HeaderRules},
    error::chain,
    headers::{request_fields, stage::source},
    upstream::call::{Call, Called, Caller},
};

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// What the server is not shown. Conditions and ranges are about what the upstream has (RFC 9110
/// sections 13 and 14); the others are names for what was asked for that some servers believe.
const HIDDEN: [HeaderName; 10] = [
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Fields of its answer that the client gets with it.
const ANSWERED: [HeaderName; 9] = [
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::LOCATION,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::VARY,
    header::WWW_AUTHENTICATE,
];

/// Longest body of an answer, in bytes.
const LONGEST: usize = 64 << 10;

pub struct Forward {
    /// Fields of its answer that go upstream.
    copied: Vec<HeaderName>,
    /// Fields of its answer that go to the client.
    to_client: Vec<HeaderName>,
    timeout: Duration,
    /// Of the scheme, for the log.
    name: String,
    caller: Rc<Caller>,
}

impl Forward {
    pub(super) fn new(parts: &Parts<'_>, config: &ForwardConfig) -> Self {
        Self {
            copied: config.copy_headers.clone(),
            to_client: config.copy_to_client.clone(),
            timeout: config.timeout,
            name: parts.shared.config.name.clone(),
            caller: parts.caller(),
        }
    }

    pub(super) async fn ask(&self, asked: Asked<'_>) -> Checked {
        let (fields, signs_in) = fields(asked).ok_or(Refused::Unavailable)?;
        let called = self.caller.call(Call {
            client: asked.client(),
            method: Method::GET,
            signs_in,
            fields: &fields,
            body: Bytes::new(),
            time: self.timeout,
            most: LONGEST,
        });
        let (checked, failure) = match called.await {
            Ok(called) if called.status.is_success() => (Ok(Rc::new(self.identity(&called))), None),
            Ok(called) if called.status.is_redirection() || called.status.is_client_error() => {
                (Err(Refused::Answered(Box::new(answer(called)))), None)
            }
            Ok(called) => (Err(Refused::Unavailable), Some(format!("status {}", called.status))),
            Err(error) => (Err(Refused::Unavailable), Some(chain(&error))),
        };
        self.caller.tell(&self.name, failure.as_ref().map(|failure| failure as &dyn Display));
        checked
    }

    fn identity(&self, called: &Called) -> Identity {
        let fields = self.copied.iter().flat_map(|name| values(called, name));
        let mut identity = Identity::with_fields(None, fields.collect());
        identity.to_client = self.to_client.iter().flat_map(|name| values(called, name)).collect();
        identity
    }
}

/// All that the server is told, and whether that logs the connection in; `None` if no field can hold what was asked for.
fn fields(asked: Asked<'_>) -> Option<(BytesMut, bool)> {
    let uri = asked.request.uri();
    let mut target = asked.record.path(uri).to_owned();
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let method = HeaderValue::from_str(asked.request.method().as_str()).ok()?;
    let target = HeaderValue::from_bytes(target.as_bytes()).ok()?;
    let rules = HeaderRules {
        remove: HIDDEN.to_vec(),
        set: vec![(X_FORWARDED_METHOD, method), (X_FORWARDED_URI, target)],
        add: Vec::new(),
    };
    let mut fields = BytesMut::with_capacity(1024);
    let head = asked.record.from.head();
    let head = head.as_deref().map_or(&b""[..], |head| head);
    let source = source(asked.record, asked.request, head, &rules);
    let passed = request_fields::write(&source, &mut fields);
    Some((fields, passed.signs_in))
}

fn answer(called: Called) -> HttpResponse {
    let given: Vec<_> = ANSWERED.iter().flat_map(|name| values(&called, name)).collect();
    let mut response = HttpResponse::with_body(called.status, BoxBody::new(called.body));
    for (name, value) in given {
        response.headers_mut().append(name, value);
    }
    response
}

fn values<'a>(
    called: &'a Called,
    name: &'a HeaderName,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + 'a {
    let values = called.fields.values(name.as_str().as_bytes());
    let values = values.filter_map(|value| HeaderValue::from_bytes(value).ok());
    values.map(|value| (name.clone(), value))
}

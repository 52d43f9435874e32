//! What is known of one request. The stages fill it, each what it decides; log and metrics read
//! it once, when the last byte is sent or the request is cut.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::IpAddr,
    rc::Rc,
    time::Duration,
};

use actix_http::{Method, StatusCode, Uri, header::HeaderValue, uri::PathAndQuery};
use tokio::time::Instant;

use crate::{
    auth::Identity,
    downstream::Client,
    error::Reason,
    forward::tunnel::Tunnel,
    headers::lines::FieldLines,
    pipeline::Passed,
    rate_limit::Limited,
    routing::Route,
    service::Service,
    worker::{Hop, InFlight, Permit, Site},
};

/// The place of a route in its snapshot.
pub type Index = u32;

pub struct RequestRecord {
    pub started: Instant,
    /// The settings by which it is answered, to its end.
    pub site: Rc<Site>,
    /// Who sent it.
    pub from: Client,
    pub request_id: HeaderValue,
    /// From `traceparent`.
    pub trace_id: Option<[u8; 32]>,
    /// The peer, or whom a trusted proxy speaks for; `None` if it is a peer over a Unix socket.
    pub client: Cell<Option<IpAddr>>,
    pub method: Method,
    /// Whether a browser asks about a request of another method (CORS), and its route answers.
    pub is_preflight: Cell<bool>,
    /// Whether the auth scheme has refused the client: the answer is to somebody who is not known.
    pub is_stranger: Cell<bool>,
    /// Who the client has proved to be.
    pub identity: OnceCell<Rc<Identity>>,
    /// Kept for the access log alone.
    pub logged: Option<LoggedHead>,
    /// The path with its dot segments resolved, if it had any.
    pub normal_path: OnceCell<String>,
    /// What the stages have made of it; taken by who answers.
    pub passed: RefCell<Passed>,
    /// The field lines of the upstream's answer that go to the client.
    pub passed_fields: RefCell<FieldLines>,
    pub route: Cell<Option<Index>>,
    /// The service that it goes to.
    pub hop: OnceCell<Rc<Hop>>,
    /// The place of the endpoint in that service.
    pub endpoint: Cell<Option<usize>>,
    /// Tries to send the request upstream.
    pub attempts: Cell<u32>,
    /// Each try, if there was more than one or the only one failed.
    pub tries: RefCell<Vec<Try>>,
    /// The try whose answer is on its way.
    pub in_flight: RefCell<Option<InFlight>>,
    /// The place in a service that limits how many requests it has.
    pub permit: RefCell<Option<Permit>>,
    /// The rate limits that have counted it, and its places among those in flight.
    pub limited: RefCell<Option<Box<Limited>>>,
    /// What the connection becomes behind a 101.
    pub tunnel: RefCell<Option<Box<Tunnel>>>,
    /// Of the response head; `None` until there is one.
    pub status: Cell<Option<StatusCode>>,
    pub reason: Cell<Option<Reason>>,
    /// Body bytes read from the client.
    pub bytes_in: Cell<u64>,
    /// Body bytes given to the client's connection.
    pub bytes_out: Cell<u64>,
}

/// One try to get an answer.
pub struct Try {
    /// Its place in the service.
    pub endpoint: usize,
    pub outcome: TryOutcome,
    /// Since the request began.
    pub started: Duration,
    pub took: Duration,
}

#[derive(Clone, Copy)]
pub enum TryOutcome {
    Status(StatusCode),
    Failed(Reason),
}

/// The parts of the request head that an access line shows.
pub struct LoggedHead {
    pub target: Option<PathAndQuery>,
    pub host: Option<HeaderValue>,
    pub user_agent: Option<HeaderValue>,
}

impl RequestRecord {
    pub fn new(
        site: Rc<Site>,
        from: Client,
        request_id: HeaderValue,
        method: Method,
        peer: Option<IpAddr>,
    ) -> Self {
        Self {
            started: Instant::now(),
            site,
            from,
            request_id,
            trace_id: None,
            client: Cell::new(peer),
            method,
            is_preflight: Cell::default(),
            is_stranger: Cell::default(),
            identity: OnceCell::new(),
            logged: None,
            normal_path: OnceCell::new(),
            passed: RefCell::default(),
            passed_fields: RefCell::default(),
            route: Cell::default(),
            hop: OnceCell::new(),
            endpoint: Cell::default(),
            attempts: Cell::default(),
            tries: RefCell::default(),
            in_flight: RefCell::default(),
            permit: RefCell::default(),
            limited: RefCell::default(),
            tunnel: RefCell::default(),
            status: Cell::default(),
            reason: Cell::default(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
        }
    }

    /// The route that takes it.
    pub fn matched(&self) -> Option<&Route> {
        self.route.get().map(|route| self.site.gateway.routes.route(route))
    }

    pub fn service(&self) -> Option<&Service> {
        self.hop.get().map(|hop| &*hop.service)
    }

    /// The path that is routed, authorised and forwarded.
    pub fn path<'a>(&'a self, uri: &'a Uri) -> &'a str {
        self.normal_path.get().map_or_else(|| uri.path(), String::as_str)
    }

    /// The status to log: that of the reason if the connection ended before there was one, which is 499
    /// if it was the client who left.
    pub fn final_status(&self) -> StatusCode {
        let ended = || self.reason.get().unwrap_or(Reason::ClientClosed).status();
        self.status.get().unwrap_or_else(ended)
    }
}

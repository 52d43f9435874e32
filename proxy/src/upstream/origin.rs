//! Where a thread asks one endpoint: its idle connections, and the way to fresh ones. The one place
//! that takes from the pool, dials, sends, and repeats a request that an idle connection has lost.

use std::{cell::Cell, mem::take, rc::Rc, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::time::Instant;

use super::{
    Answer, Asked, Bounds, Connection, Dialer, Home, OwnPools, Pool, RequestBody, Resolver,
    SendFailure, send,
};
use crate::{
    clock::Deadlines,
    config::{EndpointAddress, PoolConfig},
    error::{ProxyError, Reason},
    scratch::Scratch,
    telemetry::metrics::UpstreamConnections,
    tls::upstream::Handshake,
};

/// An origin among all that a thread has ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginId(u64);

pub struct Origin {
    pub id: OriginId,
    dialer: Dialer,
    pool: Rc<Pool>,
}

/// What a thread makes origins of.
pub struct Dialing {
    resolver: Arc<Resolver>,
    scratch: Scratch,
    counted: Arc<UpstreamConnections>,
    next: Cell<u64>,
}

/// How a request is asked.
pub struct Asking<'a> {
    pub asked: Asked<'a>,
    /// Whether the request may be sent though it may have been heard before (RFC 9110 section 9.2.2).
    pub may_repeat: bool,
    pub bounds: Bounds,
    /// How long a connection may take to open.
    pub connect: Duration,
    /// Connections that belong to the client's.
    pub own: Option<&'a OwnPools>,
    pub deadlines: &'a Rc<Deadlines>,
}

/// Who asks: writes the head of each try, and sees what becomes of it.
pub trait Witness {
    /// A try begins.
    fn begins(&self);

    /// The head of the request, as it is to be sent now.
    fn head(&self) -> BytesMut;

    /// A connection was opened.
    fn connected(&self, took: Duration);

    /// A try has ended, with a status if it was answered.
    fn tried(&self, code: Option<u16>);
}

/// Why there is no answer, and what is left of the request.
pub struct Unanswered {
    pub failure: SendFailure,
    /// Whether the connection before this one turned out to have been closed.
    pub was_stale: bool,
}

impl Dialing {
    pub fn new(
        resolver: Arc<Resolver>,
        scratch: Scratch,
        counted: Arc<UpstreamConnections>,
    ) -> Self {
        Self { resolver, scratch, counted, next: Cell::new(0) }
    }

    /// The way to an endpoint, by TLS if there is a `handshake`.
    pub fn origin(
        &self,
        address: &EndpointAddress,
        handshake: Option<Handshake>,
        pool: PoolConfig,
    ) -> Origin {
        self.counted_origin(address, handshake, pool, self.counted())
    }

    /// The way to somebody who is no endpoint, and is not counted among them.
    pub fn uncounted_origin(
        &self,
        address: &EndpointAddress,
        handshake: Option<Handshake>,
        pool: PoolConfig,
    ) -> Origin {
        self.counted_origin(address, handshake, pool, Arc::default())
    }

    pub(super) fn counted(&self) -> Arc<UpstreamConnections> {
        Arc::clone(&self.counted)
    }

    pub(super) fn counted_origin(
        &self,
        address: &EndpointAddress,
        handshake: Option<Handshake>,
        pool: PoolConfig,
        counted: Arc<UpstreamConnections>,
    ) -> Origin {
        let id = self.next.replace(self.next.get() + 1);
        let (scratch, by_dialer) = (self.scratch.clone(), Arc::clone(&counted));
        let dialer = Dialer::new(address, handshake, &self.resolver, scratch, by_dialer);
        let pool = Rc::new(Pool::new(pool, dialer.name(), counted));
        Origin { id: OriginId(id), dialer, pool }
    }
}

impl Origin {
    /// Sends a request with the body, which it takes, and waits for the head of the answer; over a fresh connection, once, if the idle
    /// one turns out to have been closed.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        body: &mut RequestBody,
        asking: &Asking<'_>,
        witness: &impl Witness,
    ) -> Result<Answer, Unanswered> {
        let mut was_stale = false;
        loop {
            witness.begins();
            let idle = if was_stale { None } else { self.take_idle(asking.own) };
            let idle = match idle {
                Some(taken) if taken.is_doubtful() => Box::pin(self.pool.look_again(taken)).await,
                idle => idle,
            };
            let connection = match idle {
                Some(connection) => connection,
                // Boxed: it is rare, and every request would carry its size.
                None => match Box::pin(self.connect(asking, witness)).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        witness.tried(None);
                        let failure = SendFailure::unsent(error, take(body));
                        return Err(Unanswered { failure, was_stale });
                    }
                },
            };
            let home = Home { pool: &self.pool, own: asking.own.map(|own| (own, self.id)) };
            let (head, asked, bounds) = (witness.head(), asking.asked, asking.bounds);
            let sent =
                send(connection, head, take(body), asked, bounds, asking.deadlines, home).await;
            witness.tried(sent.as_ref().ok().map(|answer| answer.head.status.as_u16()));
            match sent {
                Ok(answer) => return Ok(answer),
                Err(mut failure) => match failure.request.take() {
                    Some(again) if failure.is_lost_by_chance(asking.may_repeat) => {
                        (*body, was_stale) = (again, true);
                    }
                    request => {
                        failure.request = request;
                        return Err(Unanswered { failure, was_stale });
                    }
                },
            }
        }
    }

    /// The client's own connection comes first: the endpoint knows who it is.
    fn take_idle(&self, own: Option<&OwnPools>) -> Option<Connection> {
        let taken = own.filter(|own| !own.is_empty()).and_then(|own| own.take(self.id));
        taken.or_else(|| self.pool.take())
    }

    async fn connect(
        &self,
        asking: &Asking<'_>,
        witness: &impl Witness,
    ) -> Result<Connection, ProxyError> {
        let started = Instant::now();
        let left = asking.bounds.end.map(|end| end.saturating_duration_since(started));
        let is_last = left.is_some_and(|left| left < asking.connect);
        let bound = left.map_or(asking.connect, |left| left.min(asking.connect));
        match self.dialer.connect(bound).await {
            Ok(connection) => {
                witness.connected(started.elapsed());
                Ok(connection)
            }
            Err(error) if is_last && error.reason() == Reason::ConnectTimeout => {
                Err(ProxyError::new(Reason::TotalTimeout, error))
            }
            Err(error) => Err(error),
        }
    }

    /// Drops idle connections that are old or closed.
    pub fn sweep(&self) {
        self.pool.sweep();
    }
}

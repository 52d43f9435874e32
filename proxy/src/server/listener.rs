//! Hands accepted connections to the App of the worker that got them.
//!
//! actix-server builds one service per listener and worker. All services of a worker share one
//! App, one set of pools and one shard: the first to be built on a thread makes them.

use std::{
    cell::RefCell,
    io,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use actix_rt::time::Instant;
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{ServiceFactory, fn_factory, fn_service};
use bytes::BytesMut;
use tokio::net::{TcpStream, UnixStream};

use super::{
    connections::{Connections, OpenConnection},
    preface::{self, NoPreface, Preface, within},
    tls::{Handshakes, Secured},
    turn_away::TurnAway,
};
use crate::{
    bind::Listener,
    config::Config,
    downstream::{Arrival, Preread, Stream},
    error::Reason,
    http1, http2,
    pipeline::App,
    telemetry::clients::Rejection,
    tls::{Tls, TlsListener},
    worker::{Shared, Worker},
};

/// Connections of a worker that actix-server takes beyond `max_connections`: these are answered,
/// those beyond them wait in the kernel.
const MOST_TURNED_AWAY: usize = 1024;

thread_local! {
    /// The App of this worker thread, for as long as a listener has it: what it owns must go while
    /// the thread still has its reactor. A thread serves one server only: actix-server starts new
    /// threads for each.
    static APP: RefCell<Weak<App>> = const { RefCell::new(Weak::new()) };
}

/// What each worker needs to know of one listener.
#[derive(Clone)]
struct Entrance {
    shared: Shared,
    connections: Arc<Connections>,
    draining: GracefulShutdownSignal,
    proxy_protocol: bool,
    http2: bool,
    https_redirect: Option<u16>,
    /// `None`: plain.
    tls: Option<Arc<TlsListener>>,
}

/// A server over the listeners of `config`, not yet polled.
pub(super) fn serve(
    config: &Config,
    listeners: Vec<Listener>,
    shared: &Shared,
    connections: &Arc<Connections>,
    tls: &Tls,
) -> io::Result<Server> {
    let drain = config.server.drain_timeout + Duration::from_secs(1);
    let mut builder = Server::build()
        .workers(config.server.workers.get())
        .disable_signals()
        .max_concurrent_connections(connections.most() + MOST_TURNED_AWAY)
        .shutdown_timeout(drain.as_secs());
    for (index, (listener, settings)) in listeners.into_iter().zip(&config.listeners).enumerate() {
        let name = settings.bind.to_string();
        let entrance = Entrance {
            shared: shared.clone(),
            connections: Arc::clone(connections),
            draining: builder.graceful_shutdown_signal(),
            proxy_protocol: settings.proxy_protocol,
            http2: settings.http2,
            https_redirect: settings.https_redirect,
            tls: tls.listener(index).cloned(),
        };
        builder = match listener {
            Listener::Tcp(listener) => {
                builder.listen(name, listener, move || door::<TcpStream>(entrance.clone()))
            }
            Listener::Unix(listener) => {
                builder.listen_uds(name, listener, move || door::<UnixStream>(entrance.clone()))
            }
        }?;
    }
    Ok(builder.run())
}

/// What takes the connections of one listener on one worker.
fn door<S: Into<Stream> + 'static>(
    entrance: Entrance,
) -> impl ServiceFactory<S, Config = (), Response = (), Error = (), InitError = ()> {
    fn_factory(move || {
        let entrance = entrance.clone();
        async move {
            let app = worker_app(entrance.shared.clone(), entrance.draining.clone()).await?;
            let turn_away = TurnAway::new(Rc::clone(&app.worker.deadlines));
            let handshakes = entrance.tls.clone().map(Handshakes::new);
            let door = Rc::new(Door { app, entrance, handshakes, turn_away });
            Ok::<_, ()>(fn_service(move |stream: S| door.admit(stream.into())))
        }
    })
}

struct Door {
    app: Rc<App>,
    entrance: Entrance,
    /// `None`: plain.
    handshakes: Option<Handshakes>,
    turn_away: TurnAway,
}

impl Door {
    /// Counts the connection at once, so that a drain waits for it, and then serves it.
    fn admit(self: &Rc<Self>, stream: Stream) -> impl Future<Output = Result<(), ()>> + use<> {
        let place = self.entrance.connections.open();
        let door = Rc::clone(self);
        async move {
            match place {
                Ok(place) => door.serve(stream, place).await,
                Err(why) => door.turn_away(stream, why).await,
            }
            Ok(())
        }
    }

    async fn serve(&self, mut stream: Stream, mut place: OpenConnection) {
        // Without an address it would pass for a peer over a Unix socket.
        let Ok(mut peer) = stream.peer() else { return };
        let mut early = BytesMut::new();
        if self.entrance.proxy_protocol {
            let Some(preface) = self.read_preface(&mut stream).await else { return };
            peer = preface.client.or(peer);
            early = preface.early;
        }
        if let Some(Err(why)) = peer.map(|peer| place.is_of(peer.ip())) {
            drop(place);
            return self.turn_away(stream, why).await;
        }
        let arrival = Arrival {
            https_redirect: self.entrance.https_redirect,
            prior_knowledge: self.entrance.http2,
            ..Arrival::of(peer)
        };
        match &self.handshakes {
            None => self.serve_plain(stream, early, arrival).await,
            // Boxed: plain connections would carry its size.
            Some(tls) => Box::pin(self.serve_secured(tls, stream, early, arrival)).await,
        }
    }

    async fn serve_plain(&self, stream: Stream, early: BytesMut, arrival: Arrival) {
        let arrival = Rc::new(arrival);
        let other = http1::serve(stream, early, Rc::clone(&arrival), &self.app).await;
        if let Some(io) = other {
            Box::pin(http2::serve(io, arrival, &self.app)).await;
        }
    }

    async fn serve_secured(
        &self,
        tls: &Handshakes,
        stream: Stream,
        early: BytesMut,
        arrival: Arrival,
    ) {
        let worker = &self.app.worker;
        let (how, secured) = tokio::select! {
            shaken = tls.shake(stream, early, worker) => shaken,
            () = self.entrance.draining.notified() => return,
        };
        if let Some(how) = how {
            worker.shard.downstream().handshake(how);
        }
        let Some(Secured { stream, session, is_http2 }) = secured else { return };
        let arrival = Rc::new(Arrival { prior_knowledge: false, tls: Some(session), ..arrival });
        if is_http2 {
            let io = Preread::new(stream, BytesMut::new());
            Box::pin(http2::serve(io, arrival, &self.app)).await;
        } else {
            http1::serve(stream, BytesMut::new(), arrival, &self.app).await;
        }
    }

    /// The PROXY header; `None` if the connection is to be closed.
    async fn read_preface(&self, stream: &mut Stream) -> Option<Preface> {
        let patience = self.entrance.shared.timeouts.header;
        let deadline = self.app.worker.deadlines.start(Instant::now() + patience);
        let read = tokio::select! {
            read = within(deadline, preface::read(stream)) => read,
            () = self.entrance.draining.notified() => return None,
        };
        match read.unwrap_or(Err(NoPreface::Malformed)) {
            Ok(preface) => Some(preface),
            Err(NoPreface::Silent) => None,
            Err(NoPreface::Malformed) => {
                self.entrance.connections.reject(Rejection::ProxyProtocol);
                tracing::debug!("a connection without a valid PROXY header is closed");
                None
            }
        }
    }

    async fn turn_away(&self, stream: Stream, why: Rejection) {
        self.entrance.connections.reject(why);
        self.app.worker.shard.connection_refused(Reason::TooManyConnections);
        tracing::debug!(bound = why.word(), "a connection too many is closed");
        // Without a handshake nobody could read an answer.
        if self.handshakes.is_none() {
            self.turn_away.answer(stream).await;
        }
    }
}

/// The App of this thread; `draining` tells it to let its connections go.
async fn worker_app(shared: Shared, draining: GracefulShutdownSignal) -> Result<Rc<App>, ()> {
    let known = || APP.with_borrow(Weak::upgrade);
    if let Some(app) = known() {
        return Ok(app);
    }
    let started = App::start(Worker::start(shared)).await?;
    // Another listener may have come first while this one waited.
    Ok(known().unwrap_or_else(|| {
        let app = Rc::new(started);
        APP.set(Rc::downgrade(&app));
        let conns = Rc::downgrade(&app.worker.conns);
        actix_rt::spawn(async move {
            draining.notified().await;
            if let Some(conns) = conns.upgrade() {
                conns.drain();
            }
        });
        app
    }))
}

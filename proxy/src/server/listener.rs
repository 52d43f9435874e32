//! Hands accepted connections to the App of the worker that got them.
//!
//! actix-server builds one service per listener and worker. All services of a worker share one
//! App, one set of pools and one shard: the first to be built on a thread makes them.

use std::{
    cell::RefCell,
    io,
    net::TcpListener,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, KeepAlive, Request};
use actix_server::Server;
use actix_service::{
    Service, ServiceFactory,
    boxed::{RcService, rc_service},
    fn_factory, fn_service,
};
use actix_web::{Error, dev::ServiceResponse};
use bytes::BytesMut;
use tokio::net::TcpStream;

use super::connections::Connections;
use crate::{
    config::Config,
    guard::{GuardIo, GuardTable, Stream},
    pipeline,
    telemetry::observe::Observed,
    worker::{Shared, Worker},
};

/// How long the rest of a refused request is read, so that the client sees the answer.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// Response bytes held before they are flushed: one read of a large body.
const WRITE_BUFFER: usize = 32 << 10;

/// What all listeners of a worker share.
struct WorkerApp {
    service: RcService<Request, ServiceResponse<Observed>, Error>,
    guards: Rc<GuardTable>,
}

thread_local! {
    /// The App of this worker thread, for as long as a listener has it: what it owns must go while
    /// the thread still has its reactor. A thread serves one server only: actix-server starts new
    /// threads for each.
    static APP: RefCell<Weak<WorkerApp>> = const { RefCell::new(Weak::new()) };
}

/// A server over `listeners`, not yet polled.
pub(super) fn serve(
    config: &Config,
    listeners: Vec<TcpListener>,
    shared: &Shared,
    connections: &Arc<Connections>,
) -> io::Result<Server> {
    let drain = config.server.drain_timeout + Duration::from_secs(1);
    let mut builder = Server::build()
        .workers(config.server.workers.get())
        .disable_signals()
        .shutdown_timeout(drain.as_secs());
    for listener in listeners {
        let name = listener.local_addr()?.to_string();
        let (shared, connections) = (shared.clone(), Arc::clone(connections));
        let draining = builder.graceful_shutdown_signal();
        builder = builder.listen(name, listener, move || {
            let (shared, connections) = (shared.clone(), Arc::clone(&connections));
            let draining = draining.clone();
            fn_factory(move || {
                let (shared, connections) = (shared.clone(), Arc::clone(&connections));
                let draining = draining.clone();
                async move {
                    let app = worker_app(shared).await?;
                    let (service, guards) = (Rc::clone(&app.service), Rc::clone(&app.guards));
                    let http = HttpService::build()
                        .keep_alive(KeepAlive::Os)
                        .client_request_timeout(Duration::ZERO)
                        .client_disconnect_timeout(LINGER_TIMEOUT)
                        .h1_allow_half_closed(false)
                        .on_connect_ext(|io: &GuardIo, data| drop(data.insert(io.conn())))
                        .h1_write_buffer_size(WRITE_BUFFER)
                        .graceful_shutdown_signal(move || {
                            let draining = draining.clone();
                            async move { draining.notified().await }
                        })
                        .h1(fn_factory(move || {
                            let service = Rc::clone(&service);
                            async move { Ok::<_, ()>(service) }
                        }));
                    let http = Rc::new(http.new_service(()).await?);
                    Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                        let open = connections.open();
                        let served = accept(&*http, stream, &guards);
                        let app = Rc::clone(&app);
                        async move {
                            let result = served.await;
                            drop((open, app));
                            result
                        }
                    }))
                }
            })
        })?;
    }
    Ok(builder.run())
}

/// Starts HTTP on a fresh connection.
fn accept<S>(
    http: &S,
    stream: TcpStream,
    guards: &Rc<GuardTable>,
) -> impl Future<Output = Result<(), ()>> + use<S>
where
    S: Service<(GuardIo, Option<std::net::SocketAddr>), Response = ()>,
{
    // An answer may go out in several writes; none of them waits for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok();
    let served = http.call((GuardIo::new(Stream::Tcp(stream), BytesMut::new(), guards), peer));
    async move { served.await.map_err(drop) }
}

async fn worker_app(shared: Shared) -> Result<Rc<WorkerApp>, ()> {
    let known = || APP.with_borrow(Weak::upgrade);
    if let Some(app) = known() {
        return Ok(app);
    }
    let worker = Worker::start(shared);
    let service = rc_service(pipeline::app(&worker).new_service(()).await?);
    // Another listener may have come first while this one waited.
    Ok(known().unwrap_or_else(|| {
        let app = Rc::new(WorkerApp { service, guards: Rc::clone(&worker.guards) });
        APP.set(Rc::downgrade(&app));
        app
    }))
}

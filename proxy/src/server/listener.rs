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

use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{fn_factory, fn_service};
use bytes::BytesMut;
use tokio::net::TcpStream;

use super::connections::Connections;
use crate::{
    config::Config,
    http1,
    pipeline::App,
    worker::{Shared, Worker},
};

thread_local! {
    /// The App of this worker thread, for as long as a listener has it: what it owns must go while
    /// the thread still has its reactor. A thread serves one server only: actix-server starts new
    /// threads for each.
    static APP: RefCell<Weak<App>> = const { RefCell::new(Weak::new()) };
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
                    let app = worker_app(shared, draining).await?;
                    Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                        let open = connections.open();
                        let served = accept(stream, Rc::clone(&app));
                        async move {
                            served.await;
                            drop(open);
                            Ok::<_, ()>(())
                        }
                    }))
                }
            })
        })?;
    }
    Ok(builder.run())
}

/// Serves a fresh connection.
async fn accept(stream: TcpStream, app: Rc<App>) {
    // An answer may go out in several writes; none of them waits for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok();
    http1::serve(stream.into(), BytesMut::new(), peer, &app).await;
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

//! The origin of the demo: the mock servers A to Z of the seed's Python script, as one program.
//!
//! [`run`] is the door: it binds, says where it listens, serves and drains. It is an
//! `HttpServer` around one plain service and no `App`: actix's router matches decoded paths,
//! the original matches the raw target, and without a router a request costs less. That
//! matters because benchmarks measure the proxy in front of this origin.
//!
//! `routes` decides what a request gets, `books` keeps the lists, `json` prints JSON as Python
//! does. There is no log: an origin under test should be fast and quiet.

mod books;
mod json;
mod routes;
mod stderr;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_http::Request;
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use actix_web::HttpServer;
use actix_web::dev::{Server, fn_service};

use crate::books::Books;
pub use crate::stderr::say;

/// Longer than the idle time of any proxy's pool, so that the proxy, not the origin, closes.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const BACKLOG: u32 = 2048;
/// How long each line that says where it listens may take.
const ANNOUNCEMENT: Duration = Duration::from_millis(100);
/// How long running requests may go on after a stop signal.
const DRAIN_SECONDS: u64 = 5;

/// How to serve.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Address to bind; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Worker threads, at least 1.
    pub workers: usize,
}

/// Why the server did not start or broke down.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot watch for stop signals")]
    Signals(#[source] io::Error),
    #[error("the server broke down")]
    Serve(#[source] io::Error),
}

/// Serves until TERM or INT, then closes idle connections and lets running requests finish for
/// up to 5 seconds. Once all workers run, prints `listening mock ADDRESS` on stderr.
///
/// # Errors
/// [`ServerError`] if the address cannot be bound, signals cannot be watched, or the server
/// fails while it runs.
pub async fn run(options: Options) -> Result<(), ServerError> {
    // Before the line is printed: whoever reads it may send a signal at once.
    let stop = StopSignals::watch().map_err(ServerError::Signals)?;
    let (server, addresses) =
        bind(options).map_err(|source| ServerError::Listen { address: options.listen, source })?;
    let server = begin(server).map_err(ServerError::Serve)?;
    for address in &addresses {
        say(&format!("listening mock {address}"), ANNOUNCEMENT);
    }
    let handle = server.handle();
    actix_rt::spawn(async move {
        stop.received().await;
        handle.stop(true).await;
    });
    server.await.map_err(ServerError::Serve)
}

fn bind(options: Options) -> io::Result<(Server, Vec<SocketAddr>)> {
    let books = Arc::new(Books::default());
    let http = HttpServer::new(move || {
        let books = Arc::clone(&books);
        fn_service(move |request: Request| {
            let books = Arc::clone(&books);
            async move { Ok::<_, Infallible>(routes::answer(&books, request).await) }
        })
    })
    .workers(options.workers)
    .backlog(BACKLOG)
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .shutdown_timeout(DRAIN_SECONDS)
    .disable_signals()
    .bind(options.listen)?;
    let addresses = http.addrs();
    Ok((http.run(), addresses))
}

/// Starts the workers: a server does so when it is polled for the first time, and waits for them.
fn begin(mut server: Server) -> io::Result<Server> {
    match Pin::new(&mut server).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => Ok(server),
        Poll::Ready(ended) => Err(ended.err().unwrap_or_else(|| io::Error::other("it has ended"))),
    }
}

/// TERM and INT. actix's own handling drains on TERM only and cuts everything on INT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn received(mut self) {
        poll_fn(|context| {
            let terminate = self.terminate.poll_recv(context);
            let interrupt = self.interrupt.poll_recv(context);
            if terminate.is_ready() || interrupt.is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

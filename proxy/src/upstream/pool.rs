//! Idle connections of one worker to one endpoint, last in first out: under falling load the
//! same few stay warm and the rest age out.
//!
//! Bounds: 1024 idle connections; one that nobody has used for 60 s, or that its peer has closed,
//! goes with the next sweep. Where one turns out to be closed, the endpoint has likely ended, and the
//! others are looked at at once.

use std::{cell::RefCell, sync::Arc, time::Duration};

use super::connection::Connection;
use crate::telemetry::metrics::UpstreamConnections;

const MOST_IDLE: usize = 1024;
/// How often idle connections are looked over.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Sweeps that an idle connection survives.
const MOST_SWEEPS: u8 = 12;

#[derive(Default)]
pub struct Pool {
    idle: RefCell<Vec<Idle>>,
    counted: Arc<UpstreamConnections>,
}

struct Idle {
    connection: Connection,
    sweeps: u8,
}

impl Pool {
    pub fn new(counted: Arc<UpstreamConnections>) -> Self {
        Self { idle: RefCell::default(), counted }
    }

    /// The idle connection used last, if it still can be used.
    pub fn take(&self) -> Option<Connection> {
        let mut last = self.pop()?;
        if last.is_quiet() {
            return Some(last);
        }
        last.close();
        self.take_behind_closed()
    }

    #[cold]
    fn take_behind_closed(&self) -> Option<Connection> {
        self.retain(|idle| idle.connection.is_quiet());
        self.pop()
    }

    fn pop(&self) -> Option<Connection> {
        let idle = self.idle.borrow_mut().pop()?;
        self.counted.idle.subtract(1);
        Some(idle.connection)
    }

    fn retain(&self, mut is_kept: impl FnMut(&mut Idle) -> bool) {
        for over in self.idle.borrow_mut().extract_if(.., |idle| !is_kept(idle)) {
            self.counted.idle.subtract(1);
            over.connection.close();
        }
    }

    /// Keeps a connection whose exchange has ended cleanly.
    pub(super) fn put(&self, mut connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MOST_IDLE {
            connection.reused = true;
            self.counted.idle.add(1);
            idle.push(Idle { connection, sweeps: 0 });
        } else {
            connection.close();
        }
    }

    /// Drops what is old or closed.
    pub fn sweep(&self) {
        self.retain(|idle| {
            idle.sweeps += 1;
            idle.sweeps <= MOST_SWEEPS && idle.connection.is_quiet()
        });
    }

    /// Idle connections now.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::scratch::Scratch;

    fn connection() -> (Connection, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (Connection::new(Box::new(ours), Scratch::default(), Arc::default()), theirs)
    }

    #[test]
    fn a_closed_connection_is_passed_over() {
        let pool = Pool::default();
        let (open, _peer) = connection();
        let (closed, peer) = connection();
        pool.put(open);
        pool.put(closed);
        drop(peer);
        assert!(pool.take().is_some());
        assert!(pool.take().is_none());
    }

    #[test]
    fn a_connection_with_unasked_bytes_is_passed_over() {
        let pool = Pool::default();
        let (noisy, mut peer) = connection();
        pool.put(noisy);
        let written = peer.write_all(b"HTTP/1.1 200 OK\r\n").now_or_never();
        written.expect("fits the pipe").expect("is open");
        assert!(pool.take().is_none());
    }

    #[test]
    fn idle_connections_age_out() {
        let pool = Pool::default();
        let (idle, _peer) = connection();
        pool.put(idle);
        for _ in 0..MOST_SWEEPS {
            pool.sweep();
            assert_eq!(pool.len(), 1);
        }
        pool.sweep();
        assert!(pool.is_empty());
    }

    /// More of them than a task may read from in one turn.
    #[test]
    fn all_that_are_closed_go_at_once() {
        let close: [fn(&Pool); 2] = [Pool::sweep, |pool| assert!(pool.take().is_none())];
        for look in close {
            actix_rt::System::new().block_on(async {
                let pool = Pool::default();
                for _ in 0..600 {
                    pool.put(connection().0);
                }
                look(&pool);
                assert!(pool.is_empty(), "{} are left", pool.len());
                assert_eq!(pool.counted.idle.get(), 0);
            });
        }
    }

    #[test]
    fn the_pool_is_bounded() {
        let pool = Pool::default();
        let mut peers = Vec::new();
        for _ in 0..=MOST_IDLE {
            let (idle, peer) = connection();
            pool.put(idle);
            peers.push(peer);
        }
        assert_eq!(pool.len(), MOST_IDLE);
    }
}

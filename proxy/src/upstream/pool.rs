//! Idle connections of one worker to one endpoint, last in first out: under falling load the
//! same few stay warm and the rest age out.
//!
//! Bounds: 1024 idle connections; one that nobody has used for 60 s, or that its peer has closed,
//! goes with the next sweep.

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
        let mut idle = self.idle.borrow_mut();
        while let Some(mut candidate) = idle.pop() {
            self.counted.idle.subtract(1);
            if candidate.connection.is_quiet() {
                return Some(candidate.connection);
            }
            candidate.connection.close();
        }
        None
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
        let mut idle = self.idle.borrow_mut();
        let is_over = |idle: &mut Idle| {
            idle.sweeps += 1;
            idle.sweeps > MOST_SWEEPS || !idle.connection.is_quiet()
        };
        for over in idle.extract_if(.., is_over) {
            self.counted.idle.subtract(1);
            over.connection.close();
        }
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

//! How many client connections are open, so that a drain ends with the last of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

#[derive(Default)]
pub struct Connections {
    open: AtomicUsize,
    closed: Notify,
}

/// Counts one connection until it is dropped.
pub struct OpenConnection(Arc<Connections>);

impl Connections {
    pub fn open(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(Arc::clone(self))
    }

    /// Returns once no connection is open.
    pub async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            closed.await;
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.closed.notify_one();
        }
    }
}

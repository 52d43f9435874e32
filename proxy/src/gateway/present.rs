//! The present snapshot, which everybody follows who answers by it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Gateway;

/// Sets the present snapshot.
pub struct Snapshots(watch::Sender<Arc<Gateway>>);

/// Sees the present snapshot.
#[derive(Clone)]
pub struct Present(watch::Receiver<Arc<Gateway>>);

impl Snapshots {
    pub fn new(first: Gateway) -> Self {
        Self(watch::Sender::new(Arc::new(first)))
    }

    pub fn follow(&self) -> Present {
        Present(self.0.subscribe())
    }

    pub fn now(&self) -> Arc<Gateway> {
        Arc::clone(&self.0.borrow())
    }

    /// Requests that begin from now on are answered by `next`; each worker moves to it by itself.
    pub fn set(&self, next: Gateway) {
        self.0.send_replace(Arc::new(next));
    }
}

impl Present {
    pub fn now(&self) -> Arc<Gateway> {
        Arc::clone(&self.0.borrow())
    }

    /// The present snapshot, after which `next` waits for another.
    pub fn take(&mut self) -> Arc<Gateway> {
        Arc::clone(&self.0.borrow_and_update())
    }

    /// The next snapshot, once there is another than the last that was seen; those that came and went
    /// in between are skipped. `None` if there will be none.
    pub async fn next(&mut self) -> Option<Arc<Gateway>> {
        self.0.changed().await.ok()?;
        Some(self.take())
    }
}

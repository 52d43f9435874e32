//! The client connections of the process: how many there may be, and when the last has closed.
//! Asked at accept and at close; a request costs nothing here.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::Notify;

use crate::{
    downstream::ClientNetwork,
    limits::per_key::PerKey,
    telemetry::{clients::Rejection, metrics::Metrics},
};

pub(super) struct Connections {
    most: usize,
    /// `None` if a client may have any number.
    per_client: Option<PerKey<ClientNetwork>>,
    metrics: Arc<Metrics>,
    closed: Notify,
}

/// Counts one connection until it is dropped.
pub(super) struct OpenConnection {
    connections: Arc<Connections>,
    client: Option<ClientNetwork>,
}

impl Connections {
    pub(super) fn new(most: usize, per_client: Option<usize>, metrics: Arc<Metrics>) -> Self {
        let per_client = per_client.map(PerKey::new);
        Self { most, per_client, metrics, closed: Notify::new() }
    }

    /// Of all clients together.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// A place for a new connection.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub(super) fn open(self: &Arc<Self>) -> Result<OpenConnection, Rejection> {
        if self.metrics.clients.open_one(self.most) {
            return Ok(OpenConnection { connections: Arc::clone(self), client: None });
        }
        Err(Rejection::TooManyConnections)
    }

    pub(super) fn reject(&self, why: Rejection) {
        self.metrics.clients.reject(why);
    }

    /// Returns once no connection is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let closed = self.closed.notified();
            if self.metrics.clients.open() == 0 {
                return;
            }
            closed.await;
        }
    }
}

impl OpenConnection {
    /// Counts the connection for its client too.
    ///
    /// # Errors
    /// The client has as many as it may.
    pub(super) fn is_of(&mut self, client: IpAddr) -> Result<(), Rejection> {
        let Some(per_client) = &self.connections.per_client else {
            return Ok(());
        };
        let client = ClientNetwork::of(client);
        if !per_client.open_one(client) {
            return Err(Rejection::TooManyOfClient);
        }
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let Connections { per_client, metrics, closed, .. } = &*self.connections;
        if let (Some(client), Some(per_client)) = (self.client, per_client) {
            per_client.close_one(client);
        }
        if metrics.clients.close_one() == 0 {
            closed.notify_one();
        }
    }
}

//! TLS handshakes with clients. Bounds: `MOST_HANDSHAKES` at a time for each listener of a worker,
//! each within the listener's `handshake_timeout`, the wait for its turn included.

use std::{io, sync::Arc};

use actix_rt::time::Instant;
use bytes::BytesMut;
use rustls::{ProtocolVersion, ServerConnection, server::Acceptor};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;

use super::preface::within;
use crate::{
    clock::Deadlines,
    downstream::{Preread, Stream, TlsSession},
    telemetry::downstream::Handshake,
    tls::{Loaded, TlsListener, subject},
};

/// A handshake is mostly the worker's own work: more at a time would not be quicker, and each holds
/// its buffers.
const MOST_HANDSHAKES: usize = 256;
/// ALPN of a CA that looks for the answer to its challenge (RFC 8737).
const CHALLENGE: &[u8] = b"acme-tls/1";

/// Who shakes hands on one listener of one worker.
pub(super) struct Handshakes {
    listener: Arc<TlsListener>,
    turns: Semaphore,
}

/// A connection after its handshake.
pub(super) struct Secured {
    pub(super) stream: Stream,
    pub(super) session: TlsSession,
    /// Whether HTTP/2 was agreed on.
    pub(super) is_http2: bool,
}

impl Handshakes {
    pub(super) fn new(listener: Arc<TlsListener>) -> Self {
        Self { listener, turns: Semaphore::new(MOST_HANDSHAKES) }
    }

    /// `early` was read from the socket before.
    ///
    /// # Errors
    /// Why there is no session; `None` if there was to be none.
    pub(super) async fn shake(
        &self,
        stream: Stream,
        early: BytesMut,
        deadlines: &std::rc::Rc<Deadlines>,
    ) -> (Handshake, Option<Secured>) {
        let deadline = deadlines.start(Instant::now() + self.listener.handshake_timeout);
        let shaken = within(deadline, async {
            let turn = self.turns.acquire().await;
            let shaken = self.accept(Preread::new(stream, early)).await;
            drop(turn);
            shaken
        });
        match shaken.await {
            None => (Handshake::Timeout, None),
            Some(Ok(secured)) => {
                let version = secured.as_ref().map(|one| one.session.version);
                let is_1_2 = version == Some(TLS_1_2);
                (if is_1_2 { Handshake::Tls12 } else { Handshake::Tls13 }, secured)
            }
            Some(Err(error)) => {
                tracing::debug!(error = error.to_string(), "a TLS handshake failed");
                (Handshake::Failed, None)
            }
        }
    }

    async fn accept(&self, io: Preread) -> io::Result<Option<Secured>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let loaded = self.listener.current();
        let hello = start.client_hello();
        let is_challenge =
            hello.alpn().is_some_and(|mut offered| offered.any(|one| one == CHALLENGE));
        if let Some(challenge) = loaded.challenge.as_ref().filter(|_| is_challenge) {
            // The handshake itself is the answer.
            start.into_stream(Arc::clone(challenge)).await?;
            return Ok(None);
        }
        let stream = start.into_stream(Arc::clone(&loaded.server)).await?;
        let connection = stream.get_ref().1;
        let session = self.session(connection, &loaded);
        let is_http2 = connection.alpn_protocol() == Some(b"h2");
        Ok(Some(Secured { stream: Stream::Tls(Box::new(stream)), session, is_http2 }))
    }

    fn session(&self, connection: &ServerConnection, loaded: &Loaded) -> TlsSession {
        let server_name = connection.server_name().map(str::to_ascii_lowercase);
        let certificate = Arc::clone(loaded.certificate(server_name.as_deref()));
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        TlsSession {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TLS_1_2,
                _ => TLS_1_3,
            },
            server_name: server_name.map(String::into_boxed_str),
            certificate,
            subject: shown.and_then(subject).map(String::into_boxed_str),
            hsts: self.listener.hsts.clone(),
        }
    }
}

const TLS_1_2: &str = "TLSv1.2";
const TLS_1_3: &str = "TLSv1.3";

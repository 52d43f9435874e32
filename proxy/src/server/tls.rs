//! TLS handshakes with clients. Bounds: `MOST_HANDSHAKES` at a time for each listener of a worker,
//! each within the listener's `handshake_timeout`.

use std::{io, sync::Arc, time::SystemTime};

use actix_rt::time::Instant;
use bytes::BytesMut;
use rustls::{
    Error, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, server::Acceptor,
};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, server::TlsStream};

use super::{
    crowd::Crowd,
    hello::{self, Hello},
    preface::within,
};
use crate::{
    downstream::{Preread, Stream, TlsSession},
    telemetry::downstream::Handshake,
    tls::{ACME_TLS, ClientNames, Served, TlsListener, has_ended, invalid_names::HelloReader},
    worker::Worker,
};

const MOST_HANDSHAKES: usize = 1024;

/// Who shakes hands on one listener of one worker.
pub(super) struct Handshakes {
    listener: Arc<TlsListener>,
    crowd: Crowd,
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
        Self { listener, crowd: Crowd::default() }
    }

    /// `early` was read from the socket before. What comes back first is to be counted.
    pub(super) async fn shake(
        &self,
        stream: Stream,
        early: BytesMut,
        worker: &Worker,
    ) -> (Option<Handshake>, Option<Secured>) {
        let deadline = worker.deadlines.start(Instant::now() + self.listener.handshake_timeout);
        let place = self.crowd.enter(MOST_HANDSHAKES);
        let shaken = tokio::select! {
            shaken = within(deadline, self.accept(stream, early, worker)) => shaken,
            () = place.lost() => return (Some(Handshake::Crowded), None),
        };
        match shaken {
            None => (Some(Handshake::Timeout), None),
            Some(Ok(None)) => (None, None),
            Some(Ok(Some(secured))) => {
                let is_1_2 = secured.session.version == TLS_1_2;
                (Some(if is_1_2 { Handshake::Tls12 } else { Handshake::Tls13 }), Some(secured))
            }
            Some(Err(error)) => {
                tracing::debug!(error = error.to_string(), "a TLS handshake failed");
                (Some(Handshake::Failed), None)
            }
        }
    }

    /// `None` for a CA, to whom the handshake itself is the answer.
    async fn accept(
        &self,
        mut stream: Stream,
        early: BytesMut,
        worker: &Worker,
    ) -> io::Result<Option<Secured>> {
        let Hello { bytes, invalid_name } =
            hello::read(&mut stream, early, HelloReader::first()).await?;
        let start = greet(Preread::new(stream, bytes)).await?;
        let loaded = self.listener.current();
        let hello = start.client_hello();
        let is_challenge =
            hello.alpn().is_some_and(|mut offered| offered.any(|one| one == ACME_TLS));
        if let Some(challenge) = loaded.challenge.as_ref().filter(|_| is_challenge) {
            start.into_stream(Arc::clone(challenge)).await?;
            return Ok(None);
        }
        let shown = Arc::clone(loaded.certificate_for(&hello));
        let stream = match invalid_name {
            None => start.into_stream(Arc::clone(&loaded.server)).await?,
            Some(name) => {
                tell_of_invalid_name(&name, worker);
                Box::pin(go_on_hiding_name(start, Arc::clone(&loaded.hiding_name))).await?
            }
        };
        let connection = stream.get_ref().1;
        let session = self.session(connection, shown)?;
        let is_http2 = connection.alpn_protocol() == Some(b"h2");
        Ok(Some(Secured { stream: Stream::Tls(Box::new(stream)), session, is_http2 }))
    }

    /// A session that is resumed stands for a certificate that was verified once, and may be resumed
    /// again and again: that it has not ended meanwhile is looked at here.
    fn session(&self, connection: &ServerConnection, shown: Arc<Served>) -> io::Result<TlsSession> {
        let client = connection.peer_certificates().and_then(<[_]>::first);
        let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        if is_resumed && client.is_some_and(|client| has_ended(client, SystemTime::now())) {
            return Err(io::Error::other("the client's certificate has expired"));
        }
        Ok(TlsSession {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TLS_1_2,
                _ => TLS_1_3,
            },
            server_name: connection
                .server_name()
                .map(|name| name.to_ascii_lowercase().into_boxed_str()),
            certificate: shown,
            client: client.map(ClientNames::of),
            hsts: self.listener.hsts.clone(),
        })
    }
}

/// Reads the first message of a client. One that is no `ClientHello` rustls refuses without a word, and
/// RFC 8446 section 6.2 has one for it.
async fn greet(io: Preread) -> io::Result<StartHandshake<Preread>> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), io);
    let started = (&mut acceptor).await;
    let error = started.as_ref().err().and_then(io::Error::get_ref);
    let is_silent = matches!(
        error.and_then(|error| error.downcast_ref()),
        Some(Error::InappropriateHandshakeMessage { .. } | Error::InappropriateMessage { .. })
    );
    if let Some(mut io) = acceptor.take_io().filter(|_| is_silent) {
        io.write_all(&UNEXPECTED_MESSAGE).await?;
        io.flush().await?;
    }
    started
}

fn tell_of_invalid_name(server_name: &str, worker: &Worker) {
    worker.shard.downstream().invalid_server_name();
    tracing::debug!(server_name, "a TLS client names no host, and is served as without a name");
}

/// If the client is to say hello again, for a key exchange that both sides know, it says the name again.
async fn go_on_hiding_name(
    start: StartHandshake<Preread>,
    config: Arc<ServerConfig>,
) -> io::Result<TlsStream<Preread>> {
    let mut retry = Vec::new();
    let mut handshake = start.into_stream_with(config, |tls| retry = retry_request(tls));
    if let Some(io) = handshake.get_mut().filter(|_| !retry.is_empty()) {
        io.write_all(&retry).await?;
        io.flush().await?;
        let second = hello::read(io, BytesMut::new(), HelloReader::after_retry()).await?;
        io.put_back(second.bytes);
    }
    handshake.await
}

/// What rustls has to say if that is a `HelloRetryRequest`.
fn retry_request(tls: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    let is_retry = tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest);
    while is_retry && tls.wants_write() && tls.write_tls(&mut bytes).is_ok() {}
    bytes
}

/// An alert in a record of its own: fatal, `unexpected_message`.
const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];

const TLS_1_2: &str = "TLSv1.2";
const TLS_1_3: &str = "TLSv1.3";

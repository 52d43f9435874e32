//! TLS over a connection that has just been opened, below awc's connector.
//!
//! awc could do it above: but a handshake that fails would look like a connection that does, an
//! address in brackets would be no server name, handshakes would have a timer of their own, and
//! each read and write would pass another box (actix-tls `connect/rustls_0_23.rs`, awc
//! `connector.rs`).

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_rt::net::{ActixStream, Ready};
use actix_tls::connect::ConnectError;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::tls::upstream::Handshake;

/// A connection whose handshake has succeeded.
#[derive(Debug)]
pub(super) struct Encrypted(tokio_rustls::client::TlsStream<TcpStream>);

/// Why a handshake has failed. awc passes on only the text of an error, so the cause stands in it.
#[derive(Debug)]
pub(super) struct HandshakeFailed {
    name: String,
    address: Option<SocketAddr>,
    pub(super) source: io::Error,
}

/// Speaks TLS on the connection that `dialling` opens.
pub(super) async fn open(
    dialling: impl Future<Output = Result<TcpStream, ConnectError>>,
    handshake: Rc<Handshake>,
) -> Result<Encrypted, ConnectError> {
    let stream = dialling.await?;
    let address = stream.peer_addr().ok();
    handshake.run(stream).await.map(Encrypted).map_err(|source| {
        let name = handshake.name.to_str().into_owned();
        ConnectError::Io(io::Error::other(HandshakeFailed { name, address, source }))
    })
}

/// Whether it was the handshake that failed.
pub(super) fn is_handshake(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<HandshakeFailed>())
}

impl fmt::Display for HandshakeFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS with \"{}\"", self.name)?;
        if let Some(address) = self.address {
            write!(f, " at {address}")?;
        }
        let cause = self.source.get_ref().and_then(|cause| cause.downcast_ref());
        match cause.and_then(in_words) {
            Some(words) => write!(f, ": {words}: {}", self.source),
            None => write!(f, ": {}", self.source),
        }
    }
}

impl StdError for HandshakeFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// What rustls says in names of its own.
fn in_words(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            Some("plaintext answer, it does not speak TLS")
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Some("unknown issuer, no CA of the service has signed its certificate")
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Some("it wants a client certificate")
        }
        _ => None,
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// awc asks for it and never uses it.
impl ActixStream for Encrypted {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(self.0.get_ref().0, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(self.0.get_ref().0, cx)
    }
}

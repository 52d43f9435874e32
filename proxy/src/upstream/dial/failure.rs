//! Why an endpoint could not be reached, and which of our reasons that is.

use std::io;

use actix_tls::connect::ConnectError;
use awc::error::ConnectError as AwcError;

use super::tls::is_handshake;
use crate::error::Reason;

/// A failed connection. `address` is where it should have gone.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}")]
struct Unreachable {
    address: String,
    source: io::Error,
}

/// Says where a connection should have gone. awc passes on only the text of an error, so the cause
/// stands in it.
pub(super) fn unreachable(address: &impl ToString, source: io::Error) -> ConnectError {
    let kind = source.kind();
    ConnectError::Io(io::Error::new(kind, Unreachable { address: address.to_string(), source }))
}

pub(super) fn reason(error: &AwcError) -> Reason {
    match error {
        AwcError::Resolver(_) | AwcError::NoRecords | AwcError::Unresolved => {
            Reason::NameUnresolved
        }
        AwcError::Io(cause) if is_handshake(cause) => Reason::UpstreamTls,
        AwcError::Io(cause) if is_refusal(cause) => Reason::ConnectionRefused,
        AwcError::Timeout => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}

/// Whether the endpoint's machine says that nothing listens there: a Unix socket whose file is
/// gone is a closed port.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

//! Why an endpoint could not be reached, and which of our reasons that is.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use actix_tls::connect::ConnectError;
use awc::error::ConnectError as AwcError;

use super::tls::{HandshakeFailed, is_handshake};
use crate::error::{self, Reason};

/// A failed connection. `address` is where it should have gone.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}")]
struct Unreachable {
    address: String,
    source: io::Error,
}

/// All ports of this machine are in use towards an address.
#[derive(Debug, thiserror::Error)]
#[error("no port is left: {0}")]
pub(super) struct NoPort(io::Error);

impl NoPort {
    /// Tells a lack of ports from an address that cannot be had from here, of which the system says the
    /// same: UDP, which has ports of its own, needs the same way there. Nothing is sent.
    pub(super) fn if_so(address: &SocketAddr, error: io::Error) -> io::Error {
        let any = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let has_way =
            || UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|way| way.connect(address));
        if error.kind() == io::ErrorKind::AddrNotAvailable && has_way().is_ok() {
            return io::Error::new(io::ErrorKind::AddrNotAvailable, Self(error));
        }
        error
    }
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
        AwcError::Io(cause) if is_lack(cause) => Reason::OutOfResources,
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

/// Whether it was not tried for want of something of our own.
pub(super) fn is_lack(error: &io::Error) -> bool {
    let below = error.get_ref().and_then(|cause| {
        let unreachable = cause.downcast_ref::<Unreachable>().map(|cause| &cause.source);
        unreachable.or_else(|| cause.downcast_ref::<HandshakeFailed>().map(|cause| &cause.source))
    });
    let error = below.unwrap_or(error);
    error::is_lack(error) || error.get_ref().is_some_and(|cause| cause.is::<NoPort>())
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn reason_of(address: &str, errno: Errno) -> Reason {
        let address = address.parse().expect("is an address");
        let error = io::Error::from_raw_os_error(errno.raw_os_error());
        let error = unreachable(&address, NoPort::if_so(&address, error));
        reason(&match error {
            ConnectError::Io(error) => AwcError::Io(error),
            other => AwcError::Resolver(Box::new(other)),
        })
    }

    #[test]
    fn a_lack_of_our_own_is_told_from_what_the_endpoint_does() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(reason_of("127.0.0.1:80", errno), Reason::OutOfResources, "{errno}");
        }
        assert_eq!(reason_of("127.0.0.1:80", Errno::CONNREFUSED), Reason::ConnectionRefused);
        assert_eq!(reason_of("127.0.0.1:80", Errno::NETUNREACH), Reason::ConnectFailed);
    }

    #[test]
    fn ports_are_missing_only_where_there_is_a_way() {
        assert_eq!(reason_of("127.0.0.1:80", Errno::ADDRNOTAVAIL), Reason::OutOfResources);
        // A broadcast address: this socket may not send there.
        assert_eq!(reason_of("255.255.255.255:80", Errno::ADDRNOTAVAIL), Reason::ConnectFailed);
    }
}

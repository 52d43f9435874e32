//! Origins of one endpoint by the name that its certificate must have there: `server_name = "{host}"`.
//! A connection that was opened for one name serves no other.
//!
//! Bounds: the 64 names of an endpoint that a thread has used last; the idle connections of a name that
//! makes room are closed.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use rustls::pki_types::ServerName;

use super::{Dialing, Origin, OriginId};
use crate::{
    config::{EndpointAddress, PoolConfig},
    error::{ProxyError, Reason},
    telemetry::metrics::UpstreamConnections,
    tls::upstream::Handshake,
};

/// Names of an endpoint that a thread keeps.
pub const MOST_NAMES: usize = 64;

pub struct NamedOrigins {
    dialing: Rc<Dialing>,
    address: EndpointAddress,
    /// As it begins with any name.
    handshake: Handshake,
    pool: PoolConfig,
    counted: Arc<UpstreamConnections>,
    /// The last used comes first.
    known: RefCell<Vec<Named>>,
}

struct Named {
    /// As requests spell it, in lower case, without port.
    host: Box<[u8]>,
    origin: Rc<Origin>,
}

#[derive(Debug, thiserror::Error)]
#[error("no certificate can be for the host \"{}\"", .0.escape_ascii())]
struct NoName(Box<[u8]>);

impl NamedOrigins {
    pub fn new(
        dialing: &Rc<Dialing>,
        address: &EndpointAddress,
        handshake: Handshake,
        pool: PoolConfig,
    ) -> Self {
        Self {
            dialing: Rc::clone(dialing),
            address: address.clone(),
            handshake,
            pool,
            counted: dialing.counted(),
            known: RefCell::default(),
        }
    }

    /// Where requests go that say `host`, as a `Host` field does.
    ///
    /// # Errors
    /// `upstream_tls` if that is neither a name nor an address.
    pub fn of(&self, host: &[u8]) -> Result<Rc<Origin>, ProxyError> {
        let host = bare(host);
        let mut known = self.known.borrow_mut();
        let found = known.iter().position(|one| one.host.eq_ignore_ascii_case(host));
        if let Some(place) = found {
            known[..=place].rotate_right(1);
            return Ok(Rc::clone(&known[0].origin));
        }
        let name =
            name(host).ok_or_else(|| ProxyError::new(Reason::UpstreamTls, NoName(host.into())))?;
        known.truncate(MOST_NAMES - 1);
        let handshake = Some(self.handshake.with(name));
        let counted = Arc::clone(&self.counted);
        let origin =
            Rc::new(self.dialing.counted_origin(&self.address, handshake, self.pool, counted));
        let host = host.to_ascii_lowercase().into();
        known.insert(0, Named { host, origin: Rc::clone(&origin) });
        Ok(origin)
    }

    pub fn has(&self, id: OriginId) -> bool {
        self.known.borrow().iter().any(|one| one.origin.id == id)
    }

    pub fn sweep(&self) {
        self.known.borrow().iter().for_each(|one| one.origin.sweep());
    }
}

/// What a `Host` field says as a certificate has it.
pub fn name(host: &[u8]) -> Option<ServerName<'static>> {
    let host = std::str::from_utf8(bare(host)).ok()?.to_ascii_lowercase();
    ServerName::try_from(host).ok()
}

/// Without port, brackets and the dot of the root, which SNI has not (RFC 6066 section 3).
fn bare(host: &[u8]) -> &[u8] {
    let port = host.iter().rposition(|byte| *byte == b':');
    let bare = match port {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    };
    if let Some(address) = bare.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return address;
    }
    bare.strip_suffix(b".").unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_without_port() {
        for (host, expected) in [
            ("a.test", Some("a.test")),
            ("A.Test:8443", Some("a.test")),
            ("a.test.", Some("a.test")),
            ("a.test.:443", Some("a.test")),
            ("my_service", Some("my_service")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("[2001:DB8::1]:443", Some("2001:db8::1")),
            ("[::1]", Some("::1")),
            ("", None),
            ("a..test", None),
            ("-", None),
            ("a b", None),
            ("a~b", None),
        ] {
            let named = name(host.as_bytes()).map(|name| name.to_str().into_owned());
            assert_eq!(named.as_deref(), expected, "{host}");
        }
    }
}

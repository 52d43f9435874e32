//! One certificate as it is served.

/// A certificate with its chain and key, and the names it is good for.
#[derive(Debug)]
pub struct Served {}

impl Served {
    /// Whether the names of the certificate cover `host`, a Host without port (RFC 9110 section
    /// 7.4, RFC 9525): a DNS name in any case, or an IP address, of version 6 in brackets or not.
    pub fn covers(&self, _host: &str) -> bool {
        true
    }
}

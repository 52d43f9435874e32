//! What of a request says where it belongs, for the policies that keep requests together.

use std::net::IpAddr;

use actix_http::{
    RequestHead,
    header::{self, HeaderName, HeaderValue},
};

use super::{StickyCookie, key};
use crate::config::{Balance, HashKey};

/// Where the key of a request comes from.
pub enum Affinity {
    /// Requests have none.
    None,
    ClientIp,
    Header(HeaderName),
    /// The value of the cookie of that name.
    Cookie(String),
    /// A cookie of ours that names the endpoint.
    Sticky(StickyCookie),
}

impl Affinity {
    pub fn of(balance: &Balance) -> Self {
        match balance {
            Balance::Random | Balance::RoundRobin | Balance::LeastRequests | Balance::P2cEwma => {
                Self::None
            }
            Balance::Hash(HashKey::ClientIp) => Self::ClientIp,
            Balance::Hash(HashKey::Header(name)) => Self::Header(name.clone()),
            Balance::Hash(HashKey::Cookie(name)) => Self::Cookie(name.clone()),
            Balance::Sticky(cookie) => {
                let sticky = StickyCookie::new(&cookie.name, cookie.secret.as_bytes());
                Self::Sticky(sticky.with(&cookie.attributes))
            }
        }
    }

    /// The key of a request, if it has what the policy looks at.
    pub fn key(&self, head: &RequestHead, client: Option<IpAddr>) -> Option<u64> {
        let cookies = || head.headers.get_all(header::COOKIE).map(HeaderValue::as_bytes);
        match self {
            Self::None => None,
            Self::ClientIp => match client?.to_canonical() {
                IpAddr::V4(address) => Some(key(&address.octets())),
                IpAddr::V6(address) => Some(key(&address.octets())),
            },
            Self::Header(name) => head.headers.get(name).map(|value| key(value.as_bytes())),
            Self::Cookie(name) => cookie(cookies(), name.as_bytes()).map(key),
            Self::Sticky(cookie) => cookie.find(cookies()),
        }
    }

    /// The name of the cookie that is the proxy's to set.
    pub fn sets_cookie(&self) -> Option<&str> {
        match self {
            Self::Sticky(cookie) => Some(cookie.name()),
            Self::None | Self::ClientIp | Self::Header(_) | Self::Cookie(_) => None,
        }
    }

    /// The cookie that brings a client back to the endpoint with this URL; `None` if `asked`, the
    /// key of its request, does already.
    pub fn cookie(
        &self,
        url: &str,
        asked: Option<u64>,
        is_secure: impl FnOnce() -> bool,
    ) -> Option<HeaderValue> {
        let Self::Sticky(cookie) = self else { return None };
        let id = key(url.as_bytes());
        (asked != Some(id)).then(|| cookie.set_cookie(id, is_secure()))
    }
}

/// RFC 6265 section 5.4: the first of that name.
fn cookie<'a>(mut fields: impl Iterator<Item = &'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    fields.find_map(|field| {
        field.split(|byte| *byte == b';').find_map(|pair| {
            pair.trim_ascii().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"="))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let fields = [&b"sid2=no; asid=no"[..], b" a=b;sid=yes ; sid=late"];
        assert_eq!(cookie(fields.into_iter(), b"sid"), Some(&b"yes"[..]));
        assert_eq!(cookie(fields.into_iter(), b"id"), None);
    }
}

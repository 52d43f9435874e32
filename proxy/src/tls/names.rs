//! The names that a certificate is good for (RFC 9525): those of its subjectAltName, DNS names and
//! IP addresses. The common name of the subject is no longer looked at by clients, nor here.

use std::net::IpAddr;

use x509_parser::{extensions::GeneralName, prelude::X509Certificate};

#[derive(Debug, Default)]
pub(super) struct Names {
    /// In lower case, without final dot; a wildcard as "*.example.com".
    dns: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

impl Names {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return names };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.extend(dns_name(name)),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }

    pub(super) fn dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(AsRef::as_ref)
    }

    /// What to call the certificate by.
    pub(super) fn first(&self) -> Option<String> {
        let address = || self.addresses.first().map(IpAddr::to_string);
        self.dns.first().map(|name| name.to_string()).or_else(address)
    }

    /// Whether they cover a host without port.
    pub(super) fn cover(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        self.dns.iter().any(|name| covers(name, host))
    }
}

/// What follows the first label, if there is something before it.
pub(super) fn parent(name: &str) -> Option<&str> {
    name.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent)
}

/// `*` stands for one whole label, the first (RFC 9525 section 6.3).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => parent(host).is_some_and(|parent| parent.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(host),
    }
}

/// `None` for what no client can ask for; it would end in labels of metrics.
fn dns_name(name: &str) -> Option<Box<str>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
    (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_ascii_lowercase().into())
}

pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_hosts_in_any_case_and_a_wildcard_covers_one_label() {
        let names = Names {
            dns: vec!["example.com".into(), "*.example.com".into()],
            addresses: vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().expect("an address")],
        };
        for host in [
            "example.com",
            "EXAMPLE.Com",
            "example.com.",
            "www.example.com",
            "WWW.example.COM",
            "192.0.2.1",
            "[2001:db8::1]",
            "2001:DB8::1",
        ] {
            assert!(names.cover(host), "{host}");
        }
        for host in [
            "",
            ".",
            "com",
            ".example.com",
            "a.b.example.com",
            "example.com.evil.test",
            "evilexample.com",
            "example.com..",
            "192.0.2.2",
            "[2001:db8::2]",
        ] {
            assert!(!names.cover(host), "{host}");
        }
    }

    #[test]
    fn what_no_client_can_ask_for_is_no_name() {
        assert_eq!(dns_name("Example.COM."), Some("example.com".into()));
        for wrong in ["", ".", "a b", "a\"b", "a\nb", "bücher.example"] {
            assert_eq!(dns_name(wrong), None, "{wrong}");
        }
    }
}

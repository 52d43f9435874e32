//! `[[listeners]]` and `[admin]`: the addresses that are listened on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    auth::check_token,
    error::{Located, Problem},
    listen_address::{ListenAddress, SocketMode},
    number::Whole,
    secret::Secret,
    section::Section,
    tls::ListenerTls,
    value::OrOff,
};

const DEFAULT_TRAFFIC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);
const ANY_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

type Port = Whole<1, 65_535>;

#[derive(Clone, Debug)]
pub struct ListenerConfig {
    pub bind: ListenAddress,
    /// Of the socket file.
    pub mode: Option<SocketMode>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Whether HTTP/2 is spoken: by ALPN with TLS, by prior knowledge without.
    pub http2: bool,
    /// The port of the `https` listener that clients of this plain one are redirected to.
    pub https_redirect: Option<u16>,
    /// `None`: plain.
    pub tls: Option<ListenerTls>,
}

#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub bind: ListenAddress,
    /// Of the socket file.
    pub mode: Option<SocketMode>,
    /// Asked for as a bearer token; always there when others can reach `bind`.
    pub token: Option<Secret>,
}

impl ListenerConfig {
    /// All listeners; one on 0.0.0.0:8080 if the file names none. `has_acme`: whether it has
    /// `[acme]`.
    pub(super) fn read_all(
        sections: Option<Vec<Section<'_>>>,
        has_acme: bool,
    ) -> Vec<Located<Self>> {
        let Some(sections) = sections else {
            let value = Self {
                bind: ListenAddress::Tcp(DEFAULT_TRAFFIC),
                mode: None,
                proxy_protocol: false,
                http2: true,
                https_redirect: None,
                tls: None,
            };
            return vec![Located { value, span: 0..0 }];
        };
        sections.into_iter().filter_map(|section| Self::read(section, has_acme)).collect()
    }

    /// `None` if its address is missing or wrong, and that was reported.
    fn read(mut section: Section<'_>, has_acme: bool) -> Option<Located<Self>> {
        let bind = section.require::<ListenAddress>("bind");
        let mode = read_mode(&mut section, bind.as_ref());
        let proxy_protocol = section.or("proxy_protocol", false);
        let http2 = section.or("http2", true);
        let https_redirect = read_https_redirect(&mut section);
        let tls = section.section("tls").map(|section| ListenerTls::read(section, has_acme));
        section.finish();
        bind.map(|bind| {
            bind.map(|bind| Self { bind, mode, proxy_protocol, http2, https_redirect, tls })
        })
    }
}

impl AdminConfig {
    pub(super) fn read(section: Option<Section<'_>>) -> Located<Self> {
        let default = Located { value: ListenAddress::Tcp(DEFAULT_ADMIN), span: 0..0 };
        let Some(mut section) = section else {
            return default.map(|bind| Self { bind, mode: None, token: None });
        };
        let bind = section.get::<ListenAddress>("bind").unwrap_or(default);
        let mode = read_mode(&mut section, Some(&bind));
        let token = section.get::<Secret>("token");
        if let Some(token) = &token
            && let Err(problem) = check_token(token.value.reveal())
        {
            section.report(&token.span, problem);
        }
        let token = token.map(|token| token.value);
        if bind.value.is_reachable_from_outside() && !section.has("token") {
            let message = format!("the admin listener on {} is not loopback", bind.value);
            let problem = Problem::new(message).hint("bind it to 127.0.0.1, or set \"token\"");
            section.report(&bind.span, problem);
        }
        section.finish();
        bind.map(|bind| Self { bind, mode, token })
    }
}

fn read_mode(
    section: &mut Section<'_>,
    bind: Option<&Located<ListenAddress>>,
) -> Option<SocketMode> {
    let mode = section.get::<SocketMode>("mode")?;
    if bind.is_some_and(|bind| !bind.value.is_unix()) {
        section.report(&mode.span, Problem::new("\"mode\" is for Unix sockets only"));
    }
    Some(mode.value)
}

fn read_https_redirect(section: &mut Section<'_>) -> Option<u16> {
    let given = section.get::<OrOff<Port>>("https_redirect")?;
    let port = given.value.0?.0;
    if section.has("tls") {
        let problem = Problem::new("\"https_redirect\" is for listeners without \"tls\"");
        section.report(&given.span, problem.hint("set it on the one that takes http"));
    }
    u16::try_from(port).ok()
}

/// Reports addresses that are listened on twice.
pub(super) fn report_duplicates(
    top: &Section<'_>,
    listeners: &[Located<ListenerConfig>],
    admin: &Located<AdminConfig>,
) {
    for (index, second) in listeners.iter().enumerate() {
        let address = &second.value.bind;
        let first = listeners[..index].iter().find(|first| first.value.bind.overlaps(address));
        if let Some(first) = first {
            let problem = Problem::new(format!("{address} is listened on twice"));
            top.report(&second.span, hint_at_both_families(problem, &first.value.bind, address));
        }
    }
    let admin_bind = &admin.value.bind;
    let taken = listeners.iter().find(|listener| listener.value.bind.overlaps(admin_bind));
    if let Some(listener) = taken {
        // The default stands nowhere in the file: then the listener is what can be changed.
        let span = if admin.span.is_empty() { &listener.span } else { &admin.span };
        let address = &listener.value.bind;
        let message = format!(
            "the admin listener on {admin_bind} and a listener on {address} take the same address"
        );
        top.report(span, hint_at_both_families(Problem::new(message), address, admin_bind));
    }
}

/// Elsewhere `[::]` may be for IPv6 alone.
fn hint_at_both_families(
    problem: Problem,
    first: &ListenAddress,
    second: &ListenAddress,
) -> Problem {
    match (first, second) {
        (ListenAddress::Tcp(first), ListenAddress::Tcp(second))
            if first.ip() != second.ip()
                && [first, second].contains(&&SocketAddr::new(ANY_IPV6, first.port())) =>
        {
            problem.hint("[::] takes IPv4 too")
        }
        _ => problem,
    }
}

//! `[[listeners]]` and `[admin]`: the addresses that are listened on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{
    error::{Located, Problem},
    section::Section,
    value::FromText,
};

const DEFAULT_TRAFFIC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

#[derive(Clone, Copy, Debug)]
pub struct ListenerConfig {
    pub bind: SocketAddr,
}

#[derive(Clone, Debug)]
pub struct AdminConfig {
    pub bind: SocketAddr,
    /// Asked for as a bearer token; always there when `bind` is not loopback.
    pub token: Option<String>,
}

impl FromText for SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"0.0.0.0:8080\" or \"[::]:8080\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        text.parse().map_err(|_| {
            let problem = Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
            match text.strip_prefix(':') {
                Some(port) => problem.hint(format!("for all addresses: \"0.0.0.0:{port}\"")),
                None => problem,
            }
        })
    }
}

impl ListenerConfig {
    /// All listeners; one on 0.0.0.0:8080 if the file names none.
    pub(super) fn read_all(sections: Option<Vec<Section<'_>>>) -> Vec<Located<Self>> {
        let Some(sections) = sections else {
            return vec![Located { value: Self { bind: DEFAULT_TRAFFIC }, span: 0..0 }];
        };
        let read = sections.into_iter().filter_map(|mut section| {
            let bind = section.require::<SocketAddr>("bind");
            section.finish();
            bind.map(|bind| bind.map(|bind| Self { bind }))
        });
        read.collect()
    }
}

impl AdminConfig {
    pub(super) fn read(section: Option<Section<'_>>) -> Located<Self> {
        let default = Located { value: DEFAULT_ADMIN, span: 0..0 };
        let Some(mut section) = section else {
            return default.map(|bind| Self { bind, token: None });
        };
        let bind = section.get::<SocketAddr>("bind").unwrap_or(default);
        let token = section.get::<AdminToken>("token").map(|token| token.value.0);
        if Self::needs_token(bind.value) && !section.has("token") {
            let message = format!("the admin listener on {} is not loopback", bind.value);
            let problem = Problem::new(message).hint("bind it to 127.0.0.1, or set \"token\"");
            section.report(&bind.span, problem);
        }
        section.finish();
        bind.map(|bind| Self { bind, token })
    }

    /// Whether other machines can reach an admin listener on `bind`.
    pub fn needs_token(bind: SocketAddr) -> bool {
        !bind.ip().to_canonical().is_loopback()
    }
}

struct AdminToken(String);

impl FromText for AdminToken {
    const EXPECTED: &'static str = "a token";

    fn from_text(text: &str) -> Result<Self, Problem> {
        super::auth::check_token(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// Reports addresses that are listened on twice; port 0 is never the same twice.
pub(super) fn report_duplicates(
    top: &Section<'_>,
    listeners: &[Located<ListenerConfig>],
    admin: &Located<AdminConfig>,
) {
    for (index, second) in listeners.iter().enumerate() {
        let address = second.value.bind;
        if listeners[..index].iter().any(|first| overlap(first.value.bind, address)) {
            top.report(&second.span, Problem::new(format!("{address} is listened on twice")));
        }
    }
    let taken = listeners.iter().find(|listener| overlap(listener.value.bind, admin.value.bind));
    if let Some(listener) = taken {
        // The default stands nowhere in the file: then the listener is what can be changed.
        let span = if admin.span.is_empty() { &listener.span } else { &admin.span };
        let message = format!(
            "the admin listener on {} and a listener on {} take the same port",
            admin.value.bind, listener.value.bind
        );
        top.report(span, Problem::new(message));
    }
}

fn overlap(first: SocketAddr, second: SocketAddr) -> bool {
    let any = |address: SocketAddr| address.ip().is_unspecified();
    let same_family = first.is_ipv4() == second.is_ipv4();
    first.port() == second.port()
        && first.port() != 0
        && (first.ip() == second.ip() || (same_family && (any(first) || any(second))))
}

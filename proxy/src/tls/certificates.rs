//! The certificates of one listener, and which of them a client is shown: those that have the name
//! it asks for, else those that have a wildcard for it, else any; of these the first, in the order
//! of the configuration, whose key the client can check. A client is never turned away for its
//! name: what it is shown tells it what it has reached.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{names, served::Served};

pub(super) struct Certificates {
    /// In the order of the configuration; never empty.
    all: Vec<Arc<Served>>,
    /// Indexes of those that have the name, in the same order.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// By what follows "*.".
    wildcard: HashMap<Box<str>, Vec<usize>>,
}

impl Certificates {
    /// From at least one.
    pub(super) fn new(all: Vec<Arc<Served>>) -> Self {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (index, served) in all.iter().enumerate() {
            for name in served.names().dns() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(domain) => (&mut wildcard, domain),
                    None => (&mut exact, name),
                };
                let indexes: &mut Vec<usize> = map.entry(Box::from(name)).or_default();
                indexes.push(index);
            }
        }
        Self { all, exact, wildcard }
    }

    pub(super) fn all(&self) -> &[Arc<Served>] {
        &self.all
    }

    /// For a client that can check every kind of key.
    #[cfg(test)]
    pub(super) fn find(&self, server_name: Option<&str>) -> &Arc<Served> {
        self.choose(server_name, |_| true)
    }

    /// For this client.
    pub(super) fn find_for(&self, hello: &ClientHello<'_>) -> &Arc<Served> {
        let schemes = hello.signature_schemes();
        self.choose(hello.server_name(), |served| served.key.key.choose_scheme(schemes).is_some())
    }

    /// The first that suits; where none does, the first.
    fn choose(&self, server_name: Option<&str>, suits: impl Fn(&Served) -> bool) -> &Arc<Served> {
        let mut named = self.with_name(server_name);
        let first = named.clone().next();
        let found = match first {
            Some(_) => named.find(|served| suits(served)),
            None => self.all.iter().find(|served| suits(served)),
        };
        found.or(first).or(self.all.first()).expect("a listener with TLS has a certificate")
    }

    /// Those that have this name before those that have a wildcard for it.
    fn with_name<'a>(
        &'a self,
        server_name: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Served>> + Clone + use<'a> {
        let name = server_name.map(normal).unwrap_or_default();
        let exact = self.exact.get(name.as_ref());
        let wildcard = names::parent(&name).and_then(|domain| self.wildcard.get(domain));
        exact.into_iter().chain(wildcard).flatten().map(|index| &self.all[*index])
    }
}

/// As names stand in the maps.
fn normal(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|served| served.label())).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.find_for(&hello).key))
    }
}

//! The files of one listener, and what its handshakes use of them: whole at the start, and swapped
//! as files change. A file that cannot be used any more changes nothing but itself.

use std::{path::Path, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;

use super::{
    Loaded, Reloads, TlsListener, acme,
    certificates::Certificates,
    clients::{ClientCa, Sessions},
    error::FileError,
    handshake::Handshakes,
    ordered::{self, Challenge, Challenges},
    pair::Pair,
    watched::{Found, Watched},
};
use crate::config::{
    AcmeConfig, ClientCertificates, ConfigError, KeyPairFiles, ListenerConfig, ListenerTls,
};

/// What is looked at for one listener.
pub(super) struct ListenerFiles {
    listener: Arc<TlsListener>,
    parts: Parts,
}

/// What handshakes are made of.
struct Parts {
    handshakes: Handshakes,
    /// Those of the configuration, and then those of ACME.
    certificates: Vec<Watched<Pair>>,
    /// By name.
    challenges: Vec<(String, Watched<Challenge>)>,
    clients: Option<Watched<ClientCa>>,
    sessions: Sessions,
}

impl ListenerFiles {
    /// # Errors
    /// Each file of the configuration that cannot be used, at its place there.
    pub(super) fn open(
        config: &ListenerConfig,
        tls: &ListenerTls,
        acme: Option<&AcmeConfig>,
    ) -> Result<Self, Vec<ConfigError>> {
        let name = config.bind.to_string();
        let mut parts = Parts::open(tls, config.http2)?;
        if let Some(acme) = acme {
            parts.add_ordered(&name, &acme.state.path, &tls.acme);
        }
        for certificate in &parts.certificates {
            certificate.loaded().warn(&name, SystemTime::now());
        }
        let listener = TlsListener {
            name,
            current: ArcSwap::from_pointee(parts.load()),
            handshake_timeout: tls.handshake_timeout,
            hsts: tls.hsts.clone(),
        };
        Ok(Self { listener: Arc::new(listener), parts })
    }

    pub(super) fn listener(&self) -> &Arc<TlsListener> {
        &self.listener
    }

    /// Looks at all files, and lets the next handshakes use what is new.
    pub(super) fn look(&mut self, reloads: &Reloads) {
        let looks = [
            self.parts.look_at_certificates(&self.listener.name, reloads),
            self.parts.look_at_challenges(&self.listener.name),
            self.parts.look_at_clients(&self.listener.name, reloads),
        ];
        if looks.contains(&true) {
            self.listener.current.store(Arc::new(self.parts.load()));
        }
    }
}

impl Parts {
    fn open(tls: &ListenerTls, http2: bool) -> Result<Self, Vec<ConfigError>> {
        let handshakes = Handshakes::new(tls.min_version, http2);
        let mut errors = Vec::new();
        let clients = open_clients(&tls.clients, &handshakes);
        let clients = clients.unwrap_or_else(|found| {
            errors.extend(found);
            None
        });
        let mut certificates = Vec::new();
        for files in &tls.certificates {
            match open_pair(files, &handshakes) {
                Ok(pair) => certificates.push(pair),
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let sessions = Sessions::new(clients.is_some());
        Ok(Self { handshakes, certificates, challenges: Vec::new(), clients, sessions })
    }

    /// What ACME brings, or has brought, for `hosts`.
    fn add_ordered(&mut self, listener: &str, state: &Path, hosts: &[String]) {
        let provider = &self.handshakes.provider;
        for host in hosts {
            let pair = Pair::in_one(acme::certificate_path(state, host), provider);
            let placeholder = Arc::new(ordered::placeholder(host, provider));
            let (certificate, errors) = Watched::open_or(pair, placeholder);
            if !errors.is_empty() {
                tracing::info!(
                    listener,
                    host,
                    "a placeholder serves until ACME brings a certificate"
                );
            }
            tell(listener, errors.iter().filter(|error| !error.problem.is_absence()));
            self.certificates.push(certificate);
            let challenge = Challenge::new(state, host, provider);
            let (challenge, errors) = Watched::open_or(challenge, None);
            tell(listener, &errors);
            self.challenges.push((host.clone(), challenge));
        }
    }

    fn load(&self) -> Loaded {
        let certificates = self.certificates.iter().map(|one| Arc::clone(one.loaded()));
        let certificates = Arc::new(Certificates::new(certificates.collect()));
        let clients = self.clients.as_ref().map(|clients| Arc::clone(clients.loaded()));
        let pending = self.challenges.iter().filter_map(|(host, challenge)| {
            challenge.loaded().as_ref().map(|key| (host.clone(), Arc::clone(key)))
        });
        let pending = Challenges(pending.collect());
        let (handshakes, sessions) = (&self.handshakes, &self.sessions);
        let server = handshakes.server(Arc::clone(&certificates), clients.clone(), sessions);
        let hiding_name = handshakes.hiding_name(Arc::clone(&certificates), clients, sessions);
        let challenge = (!pending.0.is_empty()).then(|| Arc::new(handshakes.challenge(pending)));
        Loaded {
            server: Arc::new(server),
            hiding_name: Arc::new(hiding_name),
            challenge,
            certificates,
        }
    }

    /// Whether there is a new one.
    fn look_at_certificates(&mut self, listener: &str, reloads: &Reloads) -> bool {
        let mut is_any_new = false;
        for watched in &mut self.certificates {
            let found = watched.look();
            reloads.count(&found);
            if is_new(listener, &found) {
                let served = watched.loaded();
                let (certificate, not_after) = (served.label(), served.end());
                tracing::info!(listener, certificate, not_after, "a changed certificate is loaded");
                served.warn(listener, SystemTime::now());
                is_any_new = true;
            }
        }
        is_any_new
    }

    /// Whether one has come or gone.
    fn look_at_challenges(&mut self, listener: &str) -> bool {
        let looks = self.challenges.iter_mut().map(|(_, challenge)| challenge.look());
        looks.fold(false, |is_any_new, found| is_new(listener, &found) | is_any_new)
    }

    /// Whether there are new ones.
    fn look_at_clients(&mut self, listener: &str, reloads: &Reloads) -> bool {
        let Some(clients) = &mut self.clients else { return false };
        let found = clients.look();
        reloads.count(&found);
        let is_new = is_new(listener, &found);
        if is_new {
            tracing::info!(listener, "changed client CAs are loaded");
            // A session begun under the old ones would pass without a look at the new.
            self.sessions = Sessions::new(true);
        }
        is_new
    }
}

fn open_pair(
    files: &KeyPairFiles,
    handshakes: &Handshakes,
) -> Result<Watched<Pair>, Vec<ConfigError>> {
    Watched::open(Pair::named(files, &handshakes.provider))
        .map_err(|errors| errors.into_iter().map(|error| error.in_pair(files)).collect())
}

fn open_clients(
    clients: &ClientCertificates,
    handshakes: &Handshakes,
) -> Result<Option<Watched<ClientCa>>, Vec<ConfigError>> {
    let (file, is_required) = match clients {
        ClientCertificates::None => return Ok(None),
        ClientCertificates::Optional(file) => (file, false),
        ClientCertificates::Required(file) => (file, true),
    };
    let provider = Arc::clone(&handshakes.provider);
    let opened = Watched::open(ClientCa::new(file.path.clone(), is_required, provider));
    opened.map(Some).map_err(|errors| errors.into_iter().map(|error| error.at(file)).collect())
}

/// Says what is broken, if anything is.
fn is_new(listener: &str, found: &Found) -> bool {
    if let Found::Broken(errors) = found {
        tell(listener, errors);
    }
    matches!(found, Found::New)
}

fn tell<'a>(listener: &str, errors: impl IntoIterator<Item = &'a FileError>) {
    for error in errors {
        let (file, problem, hint) = (error.path.display(), &error.problem, error.hint());
        tracing::error!(
            listener,
            %file,
            %problem,
            hint,
            "a file of TLS cannot be used, what was loaded before stays"
        );
    }
}

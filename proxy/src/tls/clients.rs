//! The CAs that must have signed the certificates of clients, and the sessions that clients may
//! resume: a session stands for a certificate that was checked once, so both go together.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    Error,
    crypto::{CryptoProvider, GetRandomFailed, aws_lc_rs},
    server::{
        NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    ticketer::TicketRotator,
};

use super::{
    error::{FileError, FileProblem, Part},
    files::Content,
    roots,
    watched::Material,
};

/// Sessions of TLS 1.2 that are kept for clients without tickets.
const MOST_SESSIONS: usize = 1024;
/// How long one key makes tickets where they stand for a client's certificate, in seconds; the key
/// before it is still taken. Who comes back in time gets another ticket: whether the certificate has ended is looked
/// at by who resumes (`server/tls.rs`).
const TICKET_KEY_LIFE: u32 = 30 * 60;

/// The file of CAs.
pub(super) struct ClientCa {
    path: [PathBuf; 1],
    is_required: bool,
    provider: Arc<CryptoProvider>,
}

/// What lets clients resume.
#[derive(Clone)]
pub(super) struct Sessions {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) storage: Arc<dyn StoresServerSessions>,
}

impl ClientCa {
    pub(super) fn new(path: PathBuf, is_required: bool, provider: Arc<CryptoProvider>) -> Self {
        Self { path: [path], is_required, provider }
    }

    fn verifier(&self, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, FileProblem> {
        let (roots, provider) = (Arc::new(roots::in_pem(pem)?), Arc::clone(&self.provider));
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        let builder = if self.is_required { builder } else { builder.allow_unauthenticated() };
        Ok(builder.build().expect("there is a root and no revocation list"))
    }
}

impl Material for ClientCa {
    type Loaded = Arc<dyn ClientCertVerifier>;

    fn paths(&self) -> &[PathBuf] {
        &self.path
    }

    fn load(&self, contents: Vec<Content>) -> Result<Self::Loaded, Vec<FileError>> {
        let [path] = &self.path;
        let content = contents.into_iter().next().expect("there is one file");
        content.and_then(|pem| self.verifier(&pem)).map_err(|problem| {
            vec![FileError { part: Part::Certificate, path: path.clone(), problem }]
        })
    }
}

impl Sessions {
    /// None of which resume what was before.
    pub(super) fn new(stand_for_clients: bool) -> Self {
        if stand_for_clients {
            // What is stored is resumed for as long as there is room: tickets end.
            let tickets = TicketRotator::new(TICKET_KEY_LIFE, short_lived);
            let tickets = Arc::new(tickets.expect(RANDOM));
            return Self { tickets, storage: Arc::new(NoServerSessionStorage {}) };
        }
        let tickets = aws_lc_rs::Ticketer::new().expect(RANDOM);
        Self { tickets, storage: ServerSessionMemoryCache::new(MOST_SESSIONS) }
    }
}

const RANDOM: &str = "the system gives random bytes";

fn short_lived() -> Result<Box<dyn ProducesTickets>, GetRandomFailed> {
    let tickets = aws_lc_rs::Ticketer::new().map_err(|_: Error| GetRandomFailed)?;
    Ok(Box::new(OneKey(tickets)))
}

/// The rotator above it ends before the one inside would change its key.
#[derive(Debug)]
struct OneKey(Arc<dyn ProducesTickets>);

impl ProducesTickets for OneKey {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

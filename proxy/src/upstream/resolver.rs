//! The addresses behind names, looked up in the background (docs/adr/0005).
//!
//! One thread looks up every name that somebody uses, again and again; a connection reads the last
//! answer and never waits for a lookup but the first. A failed lookup keeps the last answer: an
//! address that worked a moment ago is better than none. The system's `getaddrinfo` is asked, so
//! `/etc/hosts` and search domains count as everywhere else; it tells no time to live.
//!
//! Bounds: one entry per name in use, 64 addresses per name, 8 lookups at a time.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    runtime::Builder,
    sync::{SetOnce, mpsc},
    task::spawn_blocking,
    time::sleep,
};

use crate::{error::is_lack, telemetry::metrics::Lookups, vitals::Vital};

/// Between two lookups of a name that has been found.
const REFRESH: Duration = Duration::from_secs(25);
/// After a first failed lookup; doubled with each further one, up to `REFRESH`.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const MOST_ADDRESSES: usize = 64;
/// A lookup holds a thread until the system answers.
const MOST_LOOKUPS: usize = 8;

/// All names in use. With its last owner the lookups stop, and the last answers stay as they are.
pub struct Resolver {
    /// Guards that a name has one entry; an atomic cannot find and insert in one step. Taken when
    /// an endpoint is prepared, never by a request, for one pass over the map.
    names: Mutex<HashMap<String, Weak<Name>>>,
    new_names: mpsc::UnboundedSender<Weak<Name>>,
}

/// A name and what is known of it. It is looked up as long as somebody holds it.
pub struct Name {
    host: String,
    answer: ArcSwap<Answer>,
    /// Grows with each answer that holds other addresses than the one before.
    version: AtomicU32,
    first_answer: SetOnce<()>,
}

enum Answer {
    Pending,
    /// No lookup has succeeded yet.
    Failed(Arc<io::Error>),
    /// Of the last lookup that succeeded; never empty.
    Found(Vec<IpAddr>),
}

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    #[error("the first lookup of \"{host}\" has not ended")]
    Pending { host: String },
    #[error("cannot look up \"{host}\"")]
    Failed { host: String, source: Arc<io::Error> },
}

impl Unresolved {
    /// Whether nobody was asked, for want of something of our own.
    pub(super) fn is_lack(&self) -> bool {
        matches!(self, Self::Failed { source, .. } if is_lack(source))
    }
}

/// Blocks until the system has an answer.
pub(super) type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

impl Resolver {
    /// Starts the thread.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub fn start(counts: Arc<Lookups>, vital: Vital) -> io::Result<Arc<Self>> {
        Self::start_with(Arc::new(system_lookup), counts, Some(vital))
    }

    pub(super) fn start_with(
        lookup: Arc<Lookup>,
        counts: Arc<Lookups>,
        vital: Option<Vital>,
    ) -> io::Result<Arc<Self>> {
        let (new_names, receiver) = mpsc::unbounded_channel();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(MOST_LOOKUPS)
            .thread_name("lookup")
            .build()?;
        thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            let _vital = vital;
            runtime.block_on(serve(receiver, lookup, counts));
            // A lookup may hang for as long as the system lets it; nobody waits for it any more.
            runtime.shutdown_background();
        })?;
        Ok(Arc::new(Self { names: Mutex::default(), new_names }))
    }

    /// A resolver whose lookups never end.
    #[cfg(test)]
    pub(super) fn unanswered() -> Self {
        Self { names: Mutex::default(), new_names: mpsc::unbounded_channel().0 }
    }

    /// The entry of a name, which is looked up from now on.
    pub fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(host).and_then(Weak::upgrade) {
            return known;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let name = Arc::new(Name::new(host));
        names.insert(host.to_owned(), Arc::downgrade(&name));
        // It fails only once the thread has ended; then the name stays pending.
        let _ = self.new_names.send(Arc::downgrade(&name));
        name
    }
}

impl Name {
    fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            answer: ArcSwap::from_pointee(Answer::Pending),
            version: AtomicU32::new(0),
            first_answer: SetOnce::new(),
        }
    }

    /// Waits until the first lookup has ended, one way or the other.
    pub(super) async fn looked_up(&self) {
        self.first_answer.wait().await;
    }

    /// What the last successful lookup found, in the system's order of preference.
    ///
    /// # Errors
    /// Why there is none, if no lookup has succeeded yet.
    pub(super) fn addresses(&self) -> Result<Vec<IpAddr>, Unresolved> {
        let host = || self.host.clone();
        match &**self.answer.load() {
            Answer::Pending => Err(Unresolved::Pending { host: host() }),
            Answer::Failed(error) => {
                Err(Unresolved::Failed { host: host(), source: Arc::clone(error) })
            }
            Answer::Found(addresses) => Ok(addresses.clone()),
        }
    }

    /// Another one if the addresses may be others.
    pub(super) fn version(&self) -> u32 {
        self.version.load(Acquire)
    }

    /// Whether the last successful lookup found `address`.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        matches!(&**self.answer.load(), Answer::Found(known) if known.contains(&address))
    }

    /// A name that is not looked up, but told what it has.
    #[cfg(test)]
    pub(super) fn told(addresses: &[IpAddr]) -> Arc<Self> {
        let name = Self::new("a.test");
        name.learn(Ok(addresses.to_vec()));
        Arc::new(name)
    }

    pub(super) fn learn(&self, found: io::Result<Vec<IpAddr>>) {
        match found {
            Ok(addresses) => {
                let is_same = self.addresses().is_ok_and(|known| {
                    known.len() == addresses.len()
                        && known.iter().all(|one| addresses.contains(one))
                });
                self.answer.store(Arc::new(Answer::Found(addresses)));
                if !is_same {
                    self.version.fetch_add(1, Release);
                }
            }
            Err(error) if self.addresses().is_err() => {
                self.answer.store(Arc::new(Answer::Failed(Arc::new(error))));
            }
            Err(_) => {}
        }
        // An error means that it was not the first.
        let _ = self.first_answer.set(());
    }
}

async fn serve(
    mut new_names: mpsc::UnboundedReceiver<Weak<Name>>,
    lookup: Arc<Lookup>,
    counts: Arc<Lookups>,
) {
    while let Some(name) = new_names.recv().await {
        tokio::spawn(refresh(name, Arc::clone(&lookup), Arc::clone(&counts)));
    }
}

/// Looks a name up for as long as somebody holds it.
async fn refresh(name: Weak<Name>, lookup: Arc<Lookup>, counts: Arc<Lookups>) {
    let mut failures = 0_u32;
    while let Some(name) = name.upgrade() {
        let found = look_up(&name.host, &lookup).await;
        report(&name.host, failures, &found);
        failures = match &found {
            Ok(_) => {
                counts.ok.add(1);
                0
            }
            Err(error) => {
                counts.failed.add(1);
                // The name has done nothing: it is looked up as soon as that may be.
                if is_lack(error) { 1 } else { failures.saturating_add(1) }
            }
        };
        name.learn(found);
        drop(name);
        sleep(pause(failures, rand::random())).await;
    }
}

async fn look_up(host: &str, lookup: &Arc<Lookup>) -> io::Result<Vec<IpAddr>> {
    let (host, lookup) = (host.to_owned(), Arc::clone(lookup));
    // It panics if it needs a thread and there can be none: that may be another the next time.
    let looking = catch_unwind(AssertUnwindSafe(|| spawn_blocking(move || lookup(&host))))
        .map_err(|_| io::Error::other("there can be no thread for the lookup"))?;
    let mut found = looking.await??;
    let mut known = Vec::new();
    // The system names an address once for each of its sources.
    found.retain(|address| {
        let is_new = known.len() < MOST_ADDRESSES && !known.contains(address);
        known.extend(is_new.then_some(*address));
        is_new
    });
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the answer holds no address"));
    }
    Ok(found)
}

/// Says once that a name has begun to fail, and once that it is found again.
fn report(host: &str, failures: u32, found: &io::Result<Vec<IpAddr>>) {
    match found {
        Ok(addresses) if failures > 0 => tracing::info!(host, ?addresses, "name resolves again"),
        Ok(addresses) => tracing::debug!(host, ?addresses, "name resolves"),
        Err(error) if failures == 0 => tracing::warn!(host, %error, "name does not resolve"),
        Err(error) => tracing::debug!(host, %error, "name still does not resolve"),
    }
}

/// The time to the next lookup after this many failed ones in a row. `spread`, from 0 to 1, keeps
/// names that began together from being looked up together for ever.
fn pause(failures: u32, spread: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = if failures == 0 { REFRESH } else { REFRESH.min(FIRST_RETRY * (1 << doublings)) };
    pause.mul_f64(0.9 + 0.2 * spread)
}

/// `getaddrinfo` that could open no file says that the name is not there.
fn system_lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs();
    let lack = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err().filter(is_lack);
    let found = found.map_err(|error| lack().unwrap_or(error))?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests;

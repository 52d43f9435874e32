//! Certificates ordered from a CA and renewed in time (RFC 8555), by HTTP-01 or TLS-ALPN-01
//! (RFC 8737).
//!
//! One task on a thread of its own orders; it never holds up a worker, nor the end of the process.
//! It hands its results over as files (`state.rs`): what listeners show is read from there by
//! `tls/`, and the answers to challenges by any process that shares the folder. Nothing of it is on
//! the way of a request but `HttpChallenges`.
//!
//! `decide.rs` says when · `rounds.rs` looks and orders · `order.rs` is the way of one order ·
//! `http.rs` carries instant-acme's requests.

mod account;
mod authority;
mod certificate;
mod decide;
mod error;
mod failure;
mod http;
mod http01;
mod named;
mod order;
mod renewal_info;
mod rounds;
mod state;
mod token;
mod trust;

use std::{collections::BTreeSet, io, sync::Arc, thread, time::SystemTime};

use tokio::{runtime::Builder, sync::watch, task::LocalSet};

pub use self::http01::{HttpChallenges, answer};
pub(super) use self::state::{certificate_path, challenge_path};
use self::{authority::Ca, named::Named, rounds::Rounds};
use crate::{
    config::{AcmeConfig, Config, ConfigError},
    telemetry::metrics::AcmeOrders,
    vitals::{Vital, Vitals},
};

/// Lookups of the CA's address: a hanging one must not keep the next from beginning.
const MOST_LOOKUPS: usize = 4;

/// The task that orders. When this is dropped it ends, in the middle of an order if need be.
#[must_use]
pub struct AcmeTask {
    goes_on: watch::Sender<bool>,
}

impl AcmeTask {
    /// Begins no further order; one that has begun goes on.
    pub fn begin_nothing(&self) {
        self.goes_on.send_replace(false);
    }
}

/// Starts to order certificates for all names that listeners have; `None` if they have none.
///
/// # Errors
/// The thread cannot be started.
pub fn start(
    config: &Config,
    orders: Arc<AcmeOrders>,
    vitals: &Vitals,
) -> io::Result<Option<AcmeTask>> {
    let listeners = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let names: BTreeSet<String> = listeners.flat_map(|tls| tls.acme.iter().cloned()).collect();
    match &config.acme {
        Some(acme) if !names.is_empty() => {
            run(acme.clone(), names, orders, vitals.vital("orders of certificates")).map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

/// What is wrong with the file that `[acme]` names.
///
/// # Errors
/// It is no file of CAs.
pub(super) fn check(config: &AcmeConfig) -> Result<(), ConfigError> {
    match &config.ca {
        Some(ca) => trust::file_roots(ca).map(drop).map_err(|error| error.at(ca)),
        None => Ok(()),
    }
}

/// A warning where this process could not keep certificates: who asks may be another user than the one
/// who will run the proxy.
pub fn unwritable_state(config: &Config) -> Option<ConfigError> {
    let folder = &config.acme.as_ref()?.state;
    let error = state::ensure_writable(&folder.path).err()?;
    let message = format!("no certificate can be kept: {}", crate::error::chain(&error));
    let hint = "make it a folder that the user who runs the proxy may write".to_owned();
    Some(ConfigError { position: folder.at, message, hint: Some(hint) })
}

fn run(
    config: AcmeConfig,
    names: BTreeSet<String>,
    orders: Arc<AcmeOrders>,
    vital: Vital,
) -> io::Result<AcmeTask> {
    let (goes_on, told) = watch::channel(true);
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MOST_LOOKUPS)
        .thread_name("acme lookup")
        .build()?;
    thread::Builder::new().name("acme".to_owned()).spawn(move || {
        let _vital = vital;
        let rounds = Rounds {
            authority: Ca { config: config.clone() },
            config,
            names: names.into_iter().map(|name| Named::new(name, rand::random())).collect(),
            orders,
            clock: SystemTime::now,
            chance: rand::random,
            goes_on: told.clone(),
            is_first: true,
            troubles: 0,
        };
        LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                () = rounds.run() => {}
                () = dropped(told) => {}
            }
        });
        // The lookup of a name may hang for as long as the system lets it.
        runtime.shutdown_background();
    })?;
    Ok(AcmeTask { goes_on })
}

async fn dropped(mut told: watch::Receiver<bool>) {
    while told.changed().await.is_ok() {}
}

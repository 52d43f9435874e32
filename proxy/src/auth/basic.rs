//! Names and passwords (RFC 7617). A password hash is made to cost much, so it is computed beside
//! the workers, by as many threads as there are cores; what was right is remembered for 5 minutes by
//! a salted digest.
//!
//! Bounds: 64 checks wait for a thread, more are answered 503; 1,024 right ones are remembered by
//! each worker; 512 bytes of credentials.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use actix_http::header::HeaderValue;
use actix_rt::task::spawn_blocking;
use argon2::{Argon2, PasswordVerifier, password_hash::phc};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Asked, Cache, Checked, Guesses, Identity, Refused, Verdict, credentials};
use crate::{
    clock::Millis,
    config::{BasicConfig, PasswordHash, User},
};

const LONGEST: usize = 512;
const MOST_REMEMBERED: usize = 1024;
const REMEMBERED: Duration = Duration::from_secs(300);
const MOST_WAITING: usize = 64;

pub struct Basic {
    users: Vec<User>,
    challenge: HeaderValue,
    desk: Arc<PasswordDesk>,
    guesses: Option<Arc<Guesses>>,
    right: RefCell<Cache<[u8; 32], Rc<Identity>>>,
    /// So that a digest in memory says nothing to who has a table of passwords.
    salt: [u8; 16],
}

/// Where passwords are checked: one for all workers.
pub struct PasswordDesk {
    threads: Semaphore,
    waiting: AtomicUsize,
}

impl Default for PasswordDesk {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { threads: Semaphore::new(cores), waiting: AtomicUsize::new(0) }
    }
}

impl Basic {
    pub(super) fn new(
        config: &BasicConfig,
        desk: Arc<PasswordDesk>,
        guesses: Option<Arc<Guesses>>,
    ) -> Self {
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", config.realm);
        Self {
            users: config.users.clone(),
            challenge: HeaderValue::from_str(&challenge).expect("the realm is printable"),
            desk,
            guesses,
            right: RefCell::new(Cache::new(MOST_REMEMBERED)),
            salt: rand::random(),
        }
    }

    pub(super) fn check<'a>(&'a self, asked: &Asked<'a>) -> Verdict<'a> {
        let Some(given) = credentials::basic(asked.request.headers()) else {
            return Verdict::Now(Err(Refused::missing(self.challenge.clone())));
        };
        let now = asked.worker.gateway.at(asked.record.started);
        let digest = Sha256::new().chain_update(self.salt).chain_update(given).finalize().into();
        if let Some(identity) = self.right.borrow_mut().get(&digest, now) {
            return Verdict::Now(Ok(identity));
        }
        let Some((name, password)) = decode(given) else {
            return Verdict::Now(Err(Refused::wrong(self.challenge.clone())));
        };
        Verdict::Later(Box::pin(self.verify(name, password, digest, *asked)))
    }

    async fn verify(
        &self,
        name: String,
        password: String,
        digest: [u8; 32],
        asked: Asked<'_>,
    ) -> Checked {
        let now = asked.worker.gateway.at(asked.record.started);
        let user = self.users.binary_search_by(|user| user.name.as_str().cmp(&name));
        // A name that nobody has takes as long: or it could be told from one that somebody has.
        let hash = self.users[user.unwrap_or_default()].hash.clone();
        let permit = self.desk.enter().await.ok_or(Refused::Unavailable)?;
        if let Some(identity) = self.right.borrow_mut().get(&digest, now) {
            return Ok(identity);
        }
        // Others from there may have been wrong while this one waited.
        self.guesses.as_ref().map_or(Ok(()), |guesses| guesses.allow(asked))?;
        let is_right = spawn_blocking(move || is_right(&hash, &password)).await;
        drop(permit);
        if !(is_right.unwrap_or(false) && user.is_ok()) {
            return Err(Refused::wrong(self.challenge.clone()));
        }
        let identity = Rc::new(Identity::named(Some(&name)));
        let until = now.plus(Millis::count(REMEMBERED));
        self.right.borrow_mut().insert(digest, Rc::clone(&identity), until);
        Ok(identity)
    }
}

impl PasswordDesk {
    /// A thread, unless too many wait for one.
    async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= MOST_WAITING {
            return None;
        }
        let permit = self.threads.acquire().await.ok();
        drop(waiting);
        permit
    }
}

/// Name and password; the name ends at the first colon.
fn decode(given: &[u8]) -> Option<(String, String)> {
    if given.len() > LONGEST {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(given).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn is_right(hash: &PasswordHash, password: &str) -> bool {
    match hash {
        PasswordHash::Argon2(hash) => phc::PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
        }),
        PasswordHash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
    }
}

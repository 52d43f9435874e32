//! Names and passwords (RFC 7617). A password hash is made to cost much, so it is computed beside
//! the workers, by as many threads as there are cores; what was right is remembered for 5 minutes by
//! a salted digest.
//!
//! Bounds: 256 checks wait for a thread, 64 of one client (`limits/turns.rs`: none has all threads while
//! there are two), more are answered 503; one that has begun has its thread until
//! it ends, whether or not the client is still there; 1,024 right ones are remembered by each worker;
//! 512 bytes of credentials.

use std::{
    cell::RefCell,
    hash::{BuildHasher, RandomState},
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};

use actix_http::header::HeaderValue;
use actix_rt::task::{JoinHandle, spawn_blocking};
use argon2::{Argon2, PasswordVerifier, password_hash::phc};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::{Asked, Cache, Checked, Guesses, Identity, Question, Refused, Verdict, credentials};
use crate::{
    clock::Millis,
    config::{BasicConfig, PasswordHash, User},
    downstream::ClientNetwork,
    limits::turns::{Turn, Turns},
};

const LONGEST: usize = 512;
const MOST_REMEMBERED: usize = 1024;
const REMEMBERED: Duration = Duration::from_secs(300);
const MOST_WAITING: usize = 256;
const MOST_OF_ONE: usize = 64;

pub struct Basic {
    users: Vec<User>,
    challenge: HeaderValue,
    desk: Arc<PasswordDesk>,
    guesses: Option<Arc<Guesses>>,
    right: RefCell<Cache<[u8; 32], Rc<Identity>>>,
    /// So that a digest in memory says nothing to who has a table of passwords.
    salt: [u8; 16],
}

/// A name and a password that a hash must be computed for.
pub struct Password {
    name: String,
    password: String,
    /// Of both.
    digest: [u8; 32],
}

/// Where passwords are checked: one for all workers.
pub struct PasswordDesk {
    threads: Turns<Option<ClientNetwork>>,
    /// Which hash is computed for a name that nobody has; nobody outside can tell.
    stand_ins: RandomState,
}

impl Default for PasswordDesk {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: Turns::new(cores, MOST_WAITING, MOST_OF_ONE),
            stand_ins: RandomState::new(),
        }
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

    pub(super) fn check(&self, asked: &Asked<'_>) -> Verdict {
        let Some(given) = credentials::basic(asked.request.headers()) else {
            return Verdict::Now(Err(Refused::missing(self.challenge.clone())));
        };
        let now = asked.worker.clock.at(asked.record.started);
        let digest = Sha256::new().chain_update(self.salt).chain_update(given).finalize().into();
        if let Some(identity) = self.right.borrow_mut().get(&digest, now) {
            return Verdict::Now(Ok(identity));
        }
        let Some((name, password)) = decode(given) else {
            return Verdict::Now(Err(Refused::wrong(self.challenge.clone())));
        };
        Verdict::Ask(Question::Password(Box::new(Password { name, password, digest })))
    }

    pub(super) async fn verify(&self, given: Password, asked: Asked<'_>) -> Checked {
        let Password { name, password, digest } = given;
        let now = asked.worker.clock.at(asked.record.started);
        let user = self.users.binary_search_by(|user| user.name.as_str().cmp(&name));
        // A name that nobody has takes as long: or it could be told from one that somebody has.
        let user_or_other = user.unwrap_or_else(|_| self.desk.stand_in(&name, self.users.len()));
        let hash = self.users[user_or_other].hash.clone();
        let turn = self.desk.threads.take(asked.client()).await;
        let turn = turn.map_err(|_| Refused::Unavailable)?;
        if let Some(identity) = self.right.borrow_mut().get(&digest, now) {
            return Ok(identity);
        }
        // Others from there may have been wrong while this one waited.
        self.guesses.as_ref().map_or(Ok(()), |guesses| guesses.allow(asked))?;
        let guess = self.guesses.as_ref().map(|guesses| guesses.begin(asked));
        let is_right = compute(turn, move || is_right(&hash, &password)).await;
        if let Some(guess) = guess {
            guess.judged();
        }
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
    /// One of so many users, always the same for a name, and not the same for all names: where hashes
    /// cost differently, one hash for all would show who is nobody.
    fn stand_in(&self, name: &str, users: usize) -> usize {
        let hash = self.stand_ins.hash_one(name) % users as u64;
        usize::try_from(hash).expect("is less than a usize")
    }
}

/// Computes on the thread that `turn` stands for. It is given back when that has ended: a client
/// that leaves stops nothing, and must not make room for another computation.
fn compute(
    turn: Turn<Option<ClientNetwork>>,
    work: impl FnOnce() -> bool + Send + 'static,
) -> JoinHandle<bool> {
    spawn_blocking(move || {
        let is_right = work();
        drop(turn);
        is_right
    })
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_thread_is_taken_until_its_check_ends_even_if_nobody_waits_for_it() {
        let threads = Turns::new(1, 1, 1);
        let (end, ended) = mpsc::channel::<()>();
        let turn = threads.take(None).await.expect("nobody waits");
        drop(compute(turn, move || ended.recv().is_ok()));
        assert!(threads.take(None).now_or_never().is_none());
        drop(end);
        assert!(threads.take(None).await.is_ok());
    }

    #[test]
    fn a_name_that_nobody_has_stands_for_one_user_and_not_all_for_the_same() {
        let desk = PasswordDesk::default();
        let stand_ins = (0..100).map(|number| desk.stand_in(&number.to_string(), 2));
        let stand_ins: Vec<usize> = stand_ins.collect();
        assert!(stand_ins.contains(&0) && stand_ins.contains(&1));
        assert!((0..100).all(|number| desk.stand_in(&number.to_string(), 2) == stand_ins[number]));
        assert_eq!(desk.stand_in("a", 1), 0);
    }
}

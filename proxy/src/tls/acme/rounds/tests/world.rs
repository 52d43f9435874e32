//! A folder, a clock on paused time, and a CA that does what the test says.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fs,
    path::PathBuf,
    rc::Rc,
    time::UNIX_EPOCH,
};

use instant_acme::Problem;
use tokio::{runtime::Builder, time::timeout};

use super::super::*;
use crate::{
    config::{AcmeChallenge, NamedFile, Position},
    tls::acme::{
        certificate::tests::{DIRECTORY, signed},
        error::{Refusal, Unreachable},
    },
};

thread_local! {
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Passes as tokio's paused time does.
pub(super) fn clock() -> SystemTime {
    let begun = BEGUN.get().unwrap_or_else(Instant::now);
    BEGUN.set(Some(begun));
    UNIX_EPOCH + Duration::from_secs(1_700_000_000) + begun.elapsed()
}

/// What the CA says to an order; a certificate is good from now on for this long.
#[derive(Clone, Copy)]
pub(super) enum Says {
    Issued(Duration),
    No(&'static str, u16, Option<Duration>),
}

#[derive(Default)]
pub(super) struct Book {
    /// What it says next; the last for ever.
    says: RefCell<VecDeque<Says>>,
    /// When an order for which name came.
    orders: RefCell<Vec<(Duration, String)>>,
    pub(super) opened: Cell<u32>,
    pub(super) is_down: Cell<bool>,
    pub(super) advice: Cell<Option<SystemTime>>,
}

/// How long an order takes.
pub(super) const TAKES: Duration = Duration::from_secs(20);

pub(super) struct FakeCa {
    book: Rc<Book>,
}

impl Authority for FakeCa {
    type Account = ();

    async fn open(&self, state: &State, lock: &Lock) -> Result<(), AcmeError> {
        self.book.opened.set(self.book.opened.get() + 1);
        if self.book.is_down.get() {
            return Err(Unreachable::Silent { url: String::new(), patience: Duration::ZERO }.into());
        }
        Ok(lock.write(&state.account(), b"{}")?)
    }

    async fn order(&self, (): &(), name: &str, _: &Lock) -> Result<Issued, AcmeError> {
        let now = clock();
        let since = now.duration_since(UNIX_EPOCH).expect("is later").as_secs() - 1_700_000_000;
        self.book.orders.borrow_mut().push((Duration::from_secs(since), name.to_owned()));
        sleep(TAKES).await;
        let mut says = self.book.says.borrow_mut();
        let said = *says.front().expect("says something");
        if says.len() > 1 {
            says.pop_front();
        }
        match said {
            Says::Issued(lifetime) => {
                let (key, chain) = signed(name, now, now + lifetime);
                Ok(Issued { key, chain })
            }
            Says::No(kind, status, retry_after) => Err(AcmeError::Refused {
                what: "the order",
                source: Refusal::new(status, &problem(kind), retry_after),
            }),
        }
    }

    async fn advise(&self, _: &State, certificates: &[(Kept, f64)]) -> Vec<Advice> {
        let advice = |(kept, _): &(Kept, f64)| Advice {
            of: kept.leaf.clone(),
            renew_at: self.book.advice.get(),
            ask_again: clock() + Duration::from_secs(60 * 60),
        };
        certificates.iter().map(advice).collect()
    }
}

fn problem(kind: &str) -> Problem {
    serde_json::from_str(&format!(r#"{{"type": "urn:ietf:params:acme:error:{kind}"}}"#))
        .expect("is a problem")
}

pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) book: Rc<Book>,
    pub(super) orders: Arc<AcmeOrders>,
    pub(super) goes_on: watch::Sender<bool>,
}

impl World {
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("acme")
    }

    pub(super) fn state(&self) -> State {
        State::open(&self.root()).expect("can be opened")
    }

    /// A process that has just been started.
    pub(super) fn process(&self, names: &[&str]) -> Rounds<FakeCa> {
        Rounds {
            authority: FakeCa { book: Rc::clone(&self.book) },
            config: AcmeConfig {
                directory: DIRECTORY.to_owned(),
                email: None,
                state: NamedFile { path: self.root(), at: Position { line: 1, column: 1 } },
                challenge: AcmeChallenge::Http01,
                ca: None,
            },
            names: names.iter().map(|name| Named::new((*name).to_owned(), 0.0)).collect(),
            orders: Arc::clone(&self.orders),
            clock,
            chance: || 0.0,
            goes_on: self.goes_on.subscribe(),
            is_first: true,
            troubles: 0,
        }
    }

    /// Runs a process over these names for so long.
    pub(super) async fn run(&self, names: &[&str], time: Duration) {
        let _ = timeout(time, self.process(names).run()).await;
    }

    /// The same, but it ends what it has begun.
    pub(super) async fn run_and_drain(&self, names: &[&str], time: Duration) {
        self.goes_on.send_replace(true);
        let drain = async {
            sleep(time).await;
            self.goes_on.send_replace(false);
        };
        tokio::join!(self.process(names).run(), drain);
    }

    pub(super) fn ordered(&self) -> Vec<String> {
        self.book.orders.borrow().iter().map(|(_, name)| name.clone()).collect()
    }

    /// Minutes between the orders, rounded down.
    pub(super) fn gaps(&self) -> Vec<u64> {
        let orders = self.book.orders.borrow();
        orders.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs() / 60).collect()
    }

    pub(super) fn keep(&self, name: &str, directory: &str, from: SystemTime, to: SystemTime) {
        let (key, chain) = signed(name, from, to);
        let (text, _) = compose(name, directory, &key, &chain, from).expect("is good");
        self.state();
        fs::write(self.state().certificate(name), text).expect("can be written");
    }
}

pub(super) fn test<F: Future<Output = ()>>(says: &[Says], test: impl FnOnce(Rc<World>) -> F) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("can be built").block_on(async {
        BEGUN.set(None);
        let book = Book { says: RefCell::new(says.iter().copied().collect()), ..Book::default() };
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (goes_on, _) = watch::channel(true);
        let world = World { folder, book: Rc::new(book), orders: Arc::default(), goes_on };
        test(Rc::new(world)).await;
    });
}

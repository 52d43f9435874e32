//! The parts that live as long as the process: workers, acceptors, threads and tasks that everything
//! else relies on. One that ends before it was asked to is told of, and ends the process: it would
//! go on as something less than what was started, and look well from outside.
//!
//! Knows nothing of what the parts do. During a stop nobody listens, and they end as they like.

use std::panic::{self, PanicHookInfo};

use actix_rt::task::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What actix-server calls the threads that accept. Nobody else can tell that one is gone.
const ACCEPTOR: &str = "actix-server acceptor";

/// The parts of a process, to be named one by one.
#[derive(Clone)]
pub struct Vitals(UnboundedSender<&'static str>);

/// Held by a part, on its own thread; that it is dropped says that the part has ended.
#[must_use]
pub struct Vital {
    name: &'static str,
    vitals: Vitals,
}

/// Hears of parts that have ended.
pub struct EndedVitals(UnboundedReceiver<&'static str>);

impl Vitals {
    pub fn new() -> (Self, EndedVitals) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), EndedVitals(receiver))
    }

    pub fn vital(&self, name: &'static str) -> Vital {
        Vital { name, vitals: self.clone() }
    }

    /// Runs a task of this thread that never ends by itself.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        let vital = self.vital(name);
        actix_rt::spawn(async move {
            let _vital = vital;
            task.await
        })
    }

    /// Watches this thread, as long as its tasks are there.
    pub fn watch_thread(&self, name: &'static str) {
        drop(self.spawn(name, std::future::pending::<()>()));
    }

    /// Watches the threads that accept: they end by a panic, if at all.
    pub fn watch_acceptors(&self) {
        let (vitals, before) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            before(info);
            if std::thread::current().name() == Some(ACCEPTOR) {
                vitals.ended("acceptor");
            }
        }));
    }

    fn ended(&self, name: &'static str) {
        // An error means that nobody listens any more.
        let _ = self.0.send(name);
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        self.vitals.ended(self.name);
    }
}

impl EndedVitals {
    /// The next part that has ended; with the last `Vitals` gone, none ever will.
    pub async fn next(&mut self) -> &'static str {
        match self.0.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_util::FutureExt;

    use super::*;

    fn run<F: Future<Output = ()>>(test: impl FnOnce(Vitals, EndedVitals) -> F) {
        let (vitals, ended) = Vitals::new();
        actix_rt::System::new().block_on(test(vitals, ended));
    }

    #[test]
    fn a_task_that_panics_or_returns_is_told_of() {
        run(|vitals, mut ended| async move {
            drop(vitals.spawn("broken", async { panic!("in a test") }));
            assert_eq!(ended.next().await, "broken");
            drop(vitals.spawn("finished", async {}));
            assert_eq!(ended.next().await, "finished");
        });
    }

    #[test]
    fn a_thread_that_panics_is_told_of() {
        run(|vitals, mut ended| async move {
            let vital = vitals.vital("thread");
            let thread = thread::spawn(move || {
                let _vital = vital;
                panic!("in a test");
            });
            assert_eq!(ended.next().await, "thread");
            assert!(thread.join().is_err());
        });
    }

    #[test]
    fn a_thread_of_actix_that_ends_is_told_of() {
        run(|vitals, mut ended| async move {
            let arbiter = actix_rt::Arbiter::new();
            arbiter.spawn_fn(move || vitals.watch_thread("worker"));
            // Answered behind it.
            let (answer, answered) = tokio::sync::oneshot::channel();
            arbiter.spawn_fn(move || answer.send(()).expect("is awaited"));
            assert!(answered.await.is_ok());
            assert!(ended.next().now_or_never().is_none(), "it still runs");
            arbiter.stop();
            assert_eq!(ended.next().await, "worker");
        });
    }

    #[test]
    fn an_acceptor_that_panics_is_told_of() {
        run(|vitals, mut ended| async move {
            vitals.watch_acceptors();
            let named = |name: &str| thread::Builder::new().name(name.to_owned());
            for name in ["another thread", ACCEPTOR] {
                let thread = named(name).spawn(|| panic!("in a test")).expect("can be started");
                assert!(thread.join().is_err());
            }
            assert_eq!(ended.next().await, "acceptor");
            assert!(ended.next().now_or_never().is_none());
        });
    }
}

//! What is looked up, and when.

use std::{collections::VecDeque, net::Ipv4Addr};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::*;

/// A name on paused time, whose lookups end as the test says.
struct Scripted {
    name: Arc<Name>,
    counts: Arc<Lookups>,
    lookups: mpsc::UnboundedReceiver<Instant>,
    task: JoinHandle<()>,
}

type Found = Result<&'static [&'static str], io::ErrorKind>;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().expect("is an address")).collect()
}

/// Answers one after the other, the last for ever.
fn script(answers: &[Found]) -> (Arc<Lookup>, mpsc::UnboundedReceiver<Instant>) {
    let answers: VecDeque<Found> = answers.iter().copied().collect();
    let answers = Mutex::new(answers);
    let (sender, lookups) = mpsc::unbounded_channel();
    let lookup = move |_: &str| {
        let _ = sender.send(Instant::now());
        let mut answers = answers.lock().expect("no lookup has panicked");
        let last = *answers.front().expect("has an answer");
        if answers.len() > 1 {
            answers.pop_front();
        }
        last.map(ips).map_err(io::Error::from)
    };
    (Arc::new(lookup), lookups)
}

fn run<F: Future<Output = ()>>(answers: &[Found], test: impl FnOnce(Scripted) -> F) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("can be built").block_on(async {
        let (lookup, lookups) = script(answers);
        let (name, counts) = (Arc::new(Name::new("a.test")), Arc::default());
        let task = tokio::spawn(refresh(Arc::downgrade(&name), lookup, Arc::clone(&counts)));
        test(Scripted { name, counts, lookups, task }).await;
    });
}

impl Scripted {
    /// Waits for the next lookup to begin, the one before having ended.
    async fn lookup(&mut self) -> Instant {
        self.lookups.recv().await.expect("the task runs")
    }
}

const FAILS: Found = Err(io::ErrorKind::TimedOut);

#[test]
fn who_comes_before_the_first_answer_waits_for_it() {
    run(&[Ok(&["192.0.2.1"])], |scripted| async move {
        let before = scripted.name.addresses();
        assert!(matches!(before, Err(Unresolved::Pending { .. })), "{before:?}");
        scripted.name.looked_up().await;
        let after = scripted.name.addresses().expect("is found");
        assert_eq!(after, ips(&["192.0.2.1"]));
    });
}

#[test]
fn a_first_lookup_that_fails_is_an_answer_too() {
    run(&[FAILS], |scripted| async move {
        scripted.name.looked_up().await;
        let answer = scripted.name.addresses();
        assert!(matches!(answer, Err(Unresolved::Failed { .. })), "{answer:?}");
    });
}

#[test]
fn a_failed_lookup_keeps_the_last_answer() {
    run(&[Ok(&["192.0.2.1"]), FAILS, Ok(&[]), FAILS], |mut scripted| async move {
        for _ in 0..5 {
            scripted.lookup().await;
        }
        let kept = scripted.name.addresses().expect("is kept");
        assert_eq!(kept, ips(&["192.0.2.1"]));
        assert_eq!(scripted.counts.ok.get(), 1);
        // The last of the lookups may have ended or not.
        assert!((3..=4).contains(&scripted.counts.failed.get()));
    });
}

#[test]
fn a_new_answer_takes_the_place_of_the_old_one() {
    run(&[Ok(&["192.0.2.1"]), FAILS, Ok(&["192.0.2.2"])], |mut scripted| async move {
        for _ in 0..4 {
            scripted.lookup().await;
        }
        assert_eq!(scripted.name.addresses().expect("is found"), ips(&["192.0.2.2"]));
    });
}

#[test]
fn a_name_is_looked_up_every_25_s_and_sooner_after_a_failure() {
    let answers = [Ok(&["192.0.2.1"][..]), Ok(&["192.0.2.1"]), FAILS];
    run(&answers, |mut scripted| async move {
        let mut last = scripted.lookup().await;
        for expected in [25.0, 25.0, 1.0, 2.0, 4.0, 8.0, 16.0, 25.0, 25.0] {
            let next = scripted.lookup().await;
            let gap = (next - last).as_secs_f64();
            assert!((gap / expected - 1.0).abs() < 0.11, "{gap} s for {expected} s");
            last = next;
        }
    });
}

#[test]
fn a_name_that_nobody_holds_is_forgotten() {
    run(&[Ok(&["192.0.2.1"])], |mut scripted| async move {
        scripted.lookup().await;
        scripted.name.looked_up().await;
        drop(scripted.name);
        let ended = timeout(REFRESH * 2, scripted.task).await;
        assert!(ended.is_ok(), "it is looked up still");
    });
}

#[test]
fn addresses_are_bounded_and_each_named_once() {
    let runtime = Builder::new_current_thread().build().expect("can be built");
    let many: Vec<IpAddr> =
        (0..200_u32).map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits / 2))).collect();
    let found = many.clone();
    let lookup: Arc<Lookup> = Arc::new(move |_: &str| Ok(found.clone()));
    let found = runtime.block_on(look_up("a.test", &lookup)).expect("is found");
    let expected: Vec<IpAddr> = many.into_iter().step_by(2).take(MOST_ADDRESSES).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_name_in_use_has_one_entry_and_an_unused_one_none() {
    let resolver = Resolver::unanswered();
    let name = resolver.name("a.test");
    assert!(Arc::ptr_eq(&name, &resolver.name("a.test")));
    assert!(!Arc::ptr_eq(&name, &resolver.name("b.test")));
    drop(name);
    resolver.name("c.test");
    assert_eq!(resolver.names.lock().expect("is free").len(), 1);
}

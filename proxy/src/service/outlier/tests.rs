//! Ejection, its length and its share, alone and with threads that race.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use proptest::prelude::*;

use super::*;
use crate::service::race::race;

const RULES: OutlierConfig = OutlierConfig {
    consecutive_failures: Some(5),
    ejection: Duration::from_secs(10),
    max_ejected: 50,
    success_rate: None,
    window: Duration::from_secs(10),
    min_requests: 20,
    one_client: false,
};

impl Outlier {
    fn end(&self, now: Millis, failed: bool) -> Option<Verdict> {
        self.observe(now, failed, Asker::Anybody)
    }
}

/// The second and third share a network.
const ADDRESSES: [&str; 3] = ["192.0.2.1", "2001:db8::1", "2001:db8::2"];

fn client(place: usize) -> Asker {
    Asker::Client(Some(ADDRESSES[place].parse().expect("is an address")))
}

#[test]
fn a_run_of_answers_ejects_once_another_client_has_seen_one() {
    let endpoints = endpoints(RULES, 2);
    let endpoint = &endpoints[0];
    for _ in 0..70_000 {
        assert_eq!(endpoint.observe(Millis(0), true, client(1)), None);
    }
    assert_eq!(endpoint.observe(Millis(0), true, client(2)), None, "of the same /64");
    let verdict = endpoint.observe(Millis(0), true, client(0));
    assert_eq!(verdict, ejected(Cause::ConsecutiveFailures, 10_000));
    assert!(endpoint.returned(Millis(10_000)));
    for _ in 0..5 {
        assert_eq!(endpoint.observe(Millis(10_000), true, client(0)), None, "begun anew");
    }
    assert_eq!(endpoint.end(Millis(10_000), false), None);
    for _ in 0..5 {
        assert_eq!(endpoint.observe(Millis(10_000), true, client(1)), None, "a run of its own");
    }
    assert!(endpoint.end(Millis(10_000), true).is_some(), "a connection that broke");
}

#[test]
fn a_run_of_one_client_ejects_where_the_rules_say_so() {
    for rules in [
        OutlierConfig { one_client: true, ..RULES },
        OutlierConfig { consecutive_failures: Some(1), ..RULES },
    ] {
        let endpoints = endpoints(rules, 2);
        let run = rules.consecutive_failures.expect("is set");
        let verdicts = (0..run).map(|_| endpoints[0].observe(Millis(0), true, client(0)));
        assert_eq!(verdicts.filter(Option::is_some).count(), 1);
    }
}

fn endpoints(rules: OutlierConfig, count: usize) -> Vec<Outlier> {
    let ejections = Ejections::new(rules);
    (0..count).map(|_| Outlier::new(&ejections)).collect()
}

/// The verdict of the last of `count` failures at `now`, the only one that may have one.
fn fail(endpoint: &Outlier, count: u32, now: u64) -> Option<Verdict> {
    for _ in 1..count {
        assert_eq!(endpoint.end(Millis(now), true), None);
    }
    endpoint.end(Millis(now), true)
}

fn ejected(cause: Cause, until: u64) -> Option<Verdict> {
    Some(Verdict::Ejected { cause, until: Millis(until) })
}

#[test]
fn five_failures_in_a_row_eject_and_the_return_is_told_once() {
    let endpoints = endpoints(RULES, 2);
    let endpoint = &endpoints[0];
    assert_eq!(fail(endpoint, 4, 0), None);
    assert_eq!(endpoint.end(Millis(0), false), None);
    assert_eq!(fail(endpoint, 5, 0), ejected(Cause::ConsecutiveFailures, 10_000));
    assert_eq!(fail(endpoint, 9, 9999), None, "sent before");
    assert!(endpoint.is_ejected(Millis(9999)) && !endpoint.returned(Millis(9999)));
    assert!(!endpoint.is_ejected(Millis(10_000)));
    assert!(endpoint.returned(Millis(10_000)) && !endpoint.returned(Millis(10_000)));
    assert_eq!(fail(endpoint, 4, 10_000), None, "the count began anew");
}

#[test]
fn an_observer_that_comes_first_is_told_of_the_return() {
    let endpoints = endpoints(OutlierConfig { consecutive_failures: Some(1), ..RULES }, 2);
    let endpoint = &endpoints[0];
    assert!(fail(endpoint, 1, 0).is_some());
    assert_eq!(fail(endpoint, 1, 10_000), Some(Verdict::Returned));
    assert_eq!(fail(endpoint, 1, 10_000), ejected(Cause::ConsecutiveFailures, 30_000));
    assert_eq!(endpoint.end(Millis(30_000), false), Some(Verdict::Returned));
    assert_eq!(endpoint.end(Millis(30_000), false), None);
}

#[test]
fn ejections_grow_to_thirty_times_and_are_forgiven_one_by_one() {
    let endpoints = endpoints(RULES, 2);
    let mut now = 0;
    let mut ejection = |pause: u64| {
        now += pause;
        endpoints[0].returned(Millis(now));
        let Some(Verdict::Ejected { until, .. }) = fail(&endpoints[0], 5, now) else {
            panic!("not ejected at {now}");
        };
        let lasted = until.0 - now;
        now = until.0;
        lasted / 1000
    };
    let growing: Vec<u64> = (0..32).map(|_| ejection(0)).collect();
    let expected: Vec<u64> = (1..=32).map(|times: u64| 10 * times.min(30)).collect();
    assert_eq!(growing, expected);
    assert_eq!([ejection(9_999), ejection(10_000), ejection(50_000)], [300, 300, 260]);
    assert_eq!(ejection(1_000_000_000), 10);
}

#[test]
fn a_success_rate_below_the_least_ejects_once_there_are_enough_requests() {
    let rules = OutlierConfig { consecutive_failures: None, success_rate: Some(80), ..RULES };
    let endpoints = endpoints(rules, 2);
    let observe = |request: u64| endpoints[0].end(Millis(request * 100), request.is_multiple_of(4));
    for request in 1..20 {
        assert_eq!(observe(request), None, "request {request}");
    }
    assert_eq!(observe(20), ejected(Cause::SuccessRate, 12_000));
    assert!(endpoints[0].returned(Millis(12_000)));
    assert_eq!(fail(&endpoints[0], 19, 12_000), None, "what came before is forgotten");
    assert!(fail(&endpoints[0], 1, 12_000).is_some());
    for _ in 0..100 {
        assert_eq!(endpoints[1].end(Millis(0), false), None);
    }
}

#[test]
fn a_rate_that_is_just_enough_is_enough() {
    let rules = OutlierConfig { consecutive_failures: None, success_rate: Some(75), ..RULES };
    let endpoints = endpoints(rules, 2);
    for request in 1..=200_u32 {
        assert_eq!(endpoints[0].end(Millis(0), request.is_multiple_of(4)), None);
    }
}

#[test]
fn the_share_bounds_how_many_are_out() {
    for (count, max_ejected, most) in [
        (1, 50, 0),
        (1, 100, 1),
        (2, 50, 1),
        (3, 50, 1),
        (5, 50, 2),
        (5, 1, 1),
        (5, 0, 0),
        (4, 100, 4),
    ] {
        let endpoints = endpoints(OutlierConfig { max_ejected, ..RULES }, count);
        let out = endpoints.iter().filter(|endpoint| fail(endpoint, 5, 0).is_some()).count();
        assert_eq!(out, most, "{max_ejected} % of {count}");
    }
}

#[test]
fn a_place_is_free_again_after_a_return_and_after_a_departure() {
    let mut endpoints = endpoints(RULES, 4);
    assert!(fail(&endpoints[0], 5, 0).is_some() && fail(&endpoints[1], 5, 0).is_some());
    assert_eq!(fail(&endpoints[2], 5, 0), None);
    assert!(endpoints[0].returned(Millis(10_000)));
    assert!(endpoints[2].end(Millis(10_000), true).is_some(), "its run goes on");
    assert_eq!(fail(&endpoints[3], 5, 10_000), None);
    let gone = endpoints.remove(1);
    let ejections = Arc::clone(&gone.ejections);
    drop(gone);
    assert_eq!(ejections.ejected(), 1);
    assert_eq!(fail(&endpoints[2], 1, 10_000), None, "one of three");
}

#[test]
fn threads_never_eject_too_many_and_each_verdict_has_one_thread() {
    let rules = OutlierConfig { consecutive_failures: Some(1), ..RULES };
    let endpoints = endpoints(rules, 3);
    let (out, back) = (AtomicU64::new(0), AtomicU64::new(0));
    let observe = |place: u64, now| {
        let place = usize::try_from(place).expect("is small");
        match endpoints[place].end(now, true) {
            Some(Verdict::Ejected { .. }) => out.fetch_add(1, SeqCst),
            Some(Verdict::Returned) => back.fetch_add(1, SeqCst),
            None => 0,
        }
    };
    // In each round the ejection of the last has passed and was forgiven.
    let at = |round: u64| Millis(round * 1_000_000);
    let act = |thread, round| {
        for endpoint in &endpoints {
            back.fetch_add(u64::from(endpoint.returned(at(round))), SeqCst);
        }
        // Both fail one endpoint in some rounds, in others each its own.
        observe(if round.is_multiple_of(2) { 0 } else { thread }, at(round));
        observe(2, at(round));
    };
    race(10_000, act, |round| {
        let told = out.load(SeqCst) - back.load(SeqCst);
        assert_eq!(told, 1, "round {round}: of three one may be out");
        let standing = endpoints.iter().filter(|endpoint| endpoint.standing().is_out);
        assert_eq!(standing.count(), 1, "round {round}");
        assert_eq!(endpoints[0].ejections.ejected(), 1, "round {round}");
    });
}

proptest! {
    #[test]
    fn the_ejected_never_exceed_the_maximum(
        count in 1usize..8,
        max_ejected in 0u8..=100,
        success_rate in proptest::option::of(1u8..=100),
        events in proptest::collection::vec((0usize..8, 0u64..3000, 0u8..10), 1..400),
    ) {
        let rules = OutlierConfig { max_ejected, success_rate, min_requests: 5, ..RULES };
        let endpoints = endpoints(rules, count);
        let share = count * usize::from(max_ejected) / 100;
        let most = share.max(usize::from(max_ejected > 0 && count > 1));
        let (mut now, mut told) = (0, 0_i64);
        for (place, pause, luck) in events {
            now += pause;
            let endpoint = &endpoints[place % count];
            told += match endpoint.end(Millis(now), luck > 2) {
                Some(Verdict::Ejected { .. }) => 1,
                Some(Verdict::Returned) => -1,
                None => 0,
            };
            let out = endpoints.iter().filter(|endpoint| endpoint.is_ejected(Millis(now))).count();
            prop_assert!(out <= most, "{} of {} are out, at most {} may", out, count, most);
            let standing = endpoints.iter().filter(|endpoint| endpoint.standing().is_out).count();
            prop_assert_eq!(i64::try_from(standing), Ok(told));
        }
    }

    #[test]
    fn a_word_says_what_was_put_into_it(
        until in 0..=LAST,
        ejections in 0..=MOST_TIMES,
        is_out: bool,
        consecutive in 0..=FULL,
        seen in 0..=2_u64,
    ) {
        let seen = Seen::of(seen);
        let standing = Standing { until: Millis(until), ejections, is_out, consecutive, seen };
        prop_assert_eq!(Standing::of(standing.word()), standing);
    }
}

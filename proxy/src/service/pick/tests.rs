//! Who is picked, who is waited for, and what threads see that look at the same moment.

use std::{collections::BTreeSet, sync::Arc, thread};

use rand::SeedableRng;

use super::*;
use crate::service::outlier::Asker;

type PutOut = fn(&Service);

const NOW: Millis = Millis(5);

fn service(settings: &str) -> Arc<Service> {
    let endpoints = "endpoints = [\"http://a\", \"http://b\", \"http://c\"]";
    Service::of_test(&format!("[services.x]\n{endpoints}\n{settings}\n"))
}

fn fail(service: &Service) {
    service.report(1, Admission::Yes, true, Asker::Anybody, || NOW);
}

/// Fills each endpoint, and ejects those at `places`.
fn full(service: &Service, ejected: &[usize]) {
    service.endpoints().iter().for_each(|endpoint| endpoint.load.start());
    for place in ejected {
        service.report(*place, Admission::Yes, true, Asker::Anybody, || NOW);
    }
}

fn pick(service: &Service, tried: &[usize], now: Millis) -> Result<usize, Reason> {
    let mut rng = SmallRng::seed_from_u64(1);
    let ask = Ask { key: None, now };
    let picked = service.pick(&ask, tried, &mut EligibleList::default(), &mut rng)?;
    service.endpoint(picked.place).load.finish();
    Ok(picked.place)
}

/// Who may be picked, as a thread sees it that looks for the first time.
fn eligible(service: &Service, now: Millis) -> Vec<u32> {
    let mut known = EligibleList::default();
    service.renew(&mut known, now);
    known.first.candidates.iter().map(|one| one.place).collect()
}

#[test]
fn endpoints_that_are_full_are_waited_for_whether_they_are_ejected_or_not() {
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100 }\n\
                    limits = { max_connections_per_endpoint = 1 }";
    for ejected in [&[][..], &[0], &[0, 1], &[0, 1, 2]] {
        let service = service(settings);
        full(&service, ejected);
        let has_room = || service.has_room(&mut EligibleList::default(), NOW);
        assert!(!has_room(), "{ejected:?}");
        assert_eq!(pick(&service, &[], NOW), Err(Reason::QueueFull), "{ejected:?}");
        assert_eq!(service.next_eligible(NOW).is_some(), !ejected.is_empty(), "{ejected:?}");
        // One of them has room again: it is of use unless it is ejected and others are not.
        service.endpoint(0).load.finish();
        let is_of_use = ejected.is_empty() || ejected.len() == 3;
        assert_eq!(has_room(), is_of_use, "{ejected:?}");
        let expected = if is_of_use { Ok(0) } else { Err(Reason::QueueFull) };
        assert_eq!(pick(&service, &[], NOW), expected, "{ejected:?}");
        assert_eq!(service.state().failed_open() > 0, ejected.len() == 3, "{ejected:?}");
    }
}

#[test]
fn backups_get_what_the_others_cannot_take() {
    let text = "[services.x]\n\
                endpoints = [\"http://a\", { url = \"http://b\", backup = true }]\n\
                limits = { max_connections_per_endpoint = 1 }\n";
    let service = Service::of_test(text);
    assert_eq!(pick(&service, &[], NOW), Ok(0));
    assert_eq!(pick(&service, &[0], NOW), Ok(1), "another than the one tried");
    service.endpoint(0).load.start();
    assert_eq!(pick(&service, &[], NOW), Ok(1), "the other is full");
    assert_eq!(pick(&service, &[1], NOW), Ok(1), "for want of others");
    service.endpoint(1).load.start();
    assert_eq!(pick(&service, &[], NOW), Err(Reason::QueueFull));
}

#[test]
fn the_end_of_an_ejection_and_of_an_open_breaker_are_known() {
    let settings = "outlier = { consecutive_failures = 1, ejection = \"10s\" }\n\
                    breaker = { min_requests = 1, open = \"3s\" }\n\
                    limits = { max_connections_per_endpoint = 1 }";
    let service = service(settings);
    assert_eq!(service.next_eligible(NOW), None);
    fail(&service);
    // Both stand in the way: the later one counts.
    let end = NOW.plus(10_000);
    assert_eq!(service.next_eligible(NOW), Some(end));
    assert_eq!(service.next_eligible(NOW.plus(4000)), Some(end));
    assert_eq!(service.next_eligible(end), None);
    assert_eq!(eligible(&service, end), [0, 1, 2]);
}

#[test]
fn what_a_thread_knows_ends_with_time_and_with_each_change() {
    let settings = "outlier = { consecutive_failures = 1, ejection = \"10s\" }\n\
                    breaker = { min_requests = 1, open = \"3s\" }\nslow_start = \"20s\"";
    let service = service(settings);
    let mut known = EligibleList::default();
    let mut places = |now: Millis| -> Vec<(u32, u32)> {
        service.renew(&mut known, now);
        known.first.candidates.iter().map(|one| (one.place, one.weight)).collect()
    };
    let others = [(0, 256), (2, 256)];
    assert_eq!(places(NOW), [(0, 256), (1, 256), (2, 256)]);
    fail(&service);
    assert_eq!(places(NOW), others);
    let end = NOW.plus(10_000);
    assert_eq!(places(Millis(end.0 - 1)), others);
    assert_eq!(places(end), [(0, 256), (1, 25), (2, 256)], "its breaker is half-open");
    assert_eq!(places(end.plus(10_000))[1], (1, 140), "in the middle of slow start");
    assert_eq!(places(end.plus(20_000))[1], (1, 256));
    let trial = service.pick_at(1, end.plus(20_000)).expect("is half-open");
    assert_eq!(places(end.plus(20_000)), others, "one trial at a time");
    service.forget(1, trial.admission);
    assert_eq!(places(end.plus(20_000)).len(), 3, "the trial has shown nothing");
}

fn take_down(service: &Service) {
    service.checked(1, Err("dead".to_owned()), NOW);
}

#[test]
fn who_is_out_is_out_for_every_thread_while_one_looks_them_over() {
    let cases: [(&str, PutOut); 3] = [
        ("health = { unhealthy = 1 }", take_down),
        ("outlier = { consecutive_failures = 1 }", fail),
        ("outlier = { consecutive_failures = \"off\" }\nbreaker = { min_requests = 1 }", fail),
    ];
    for (settings, put_out) in cases {
        let service = service(settings);
        let mut known = EligibleList::default();
        service.renew(&mut known, NOW);
        assert_eq!(known.first.candidates.len(), 3);
        put_out(&service);
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                for _ in 0..10_000 {
                    assert_eq!(eligible(&service, NOW), [0, 2]);
                }
            });
            while !looking.is_finished() {
                service.renew(&mut known, NOW);
                let seen: BTreeSet<u32> =
                    known.first.candidates.iter().map(|one| one.place).collect();
                assert_eq!(seen, BTreeSet::from([0, 2]), "{settings}: looked well for a moment");
            }
        });
    }
}

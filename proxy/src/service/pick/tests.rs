//! Who is picked, who is waited for, and what threads see that look at the same moment.

use std::thread;

use super::*;
use crate::{config::Config, service::outlier::Asker};

type PutOut = fn(&Service);

const NOW: Millis = Millis(5);

fn service(settings: &str) -> Service {
    let endpoints = "endpoints = [\"http://a\", \"http://b\", \"http://c\"]";
    let text = format!("[services.x]\n{endpoints}\n{settings}\n");
    let config = Config::load(&text, "test", &|_| None).expect("is valid");
    Service::new(0, 0, &config.services[0])
}

fn fail(service: &Service) {
    service.report(1, Admission::Yes, true, Asker::Anybody, || NOW);
}

/// Fills each endpoint, and ejects those at `places`.
fn full(service: &Service, ejected: &[usize]) {
    service.endpoints.iter().for_each(|endpoint| endpoint.load.start());
    for place in ejected {
        service.report(*place, Admission::Yes, true, Asker::Anybody, || NOW);
    }
}

#[test]
fn endpoints_that_are_full_are_waited_for_whether_they_are_ejected_or_not() {
    let settings = "outlier = { consecutive_failures = 1, max_ejected = 100 }\n\
                    limits = { max_connections_per_endpoint = 1 }";
    for ejected in [&[][..], &[0], &[0, 1], &[0, 1, 2]] {
        let service = service(settings);
        full(&service, ejected);
        assert!(!service.has_room(NOW), "{ejected:?}");
        assert_eq!(service.eligible(NOW, &[]).reason(), Reason::QueueFull, "{ejected:?}");
        assert_eq!(service.next_eligible(NOW).is_some(), !ejected.is_empty(), "{ejected:?}");
        // One of them has room again: it is of use unless it is ejected and others are not.
        service.endpoints[0].load.finish();
        let is_of_use = ejected.is_empty() || ejected.len() == 3;
        assert_eq!(service.has_room(NOW), is_of_use, "{ejected:?}");
        let opens = service.eligible(NOW, &[]).fails_open();
        assert_eq!(opens, ejected.len() == 3, "{ejected:?}");
        assert_eq!(service.ejected(NOW, &[]).len(), usize::from(!ejected.is_empty()));
    }
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
    assert_eq!(service.eligible(end, &[]).list.len(), 3);
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
        assert!(service.is_plain());
        put_out(&service);
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                for _ in 0..100_000 {
                    assert_eq!(service.eligible(NOW, &[]).list.len(), 2);
                }
            });
            while !looking.is_finished() {
                assert!(!service.is_plain(), "{settings}: looked well for a moment");
            }
        });
    }
}

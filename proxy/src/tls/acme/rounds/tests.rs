//! What is ordered when, and when not.

mod world;

use std::fs;

use tokio::time::timeout;

use self::world::{Says, TAKES, clock, test};
use super::*;
use crate::tls::acme::certificate::tests::DIRECTORY;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAYS: Says = Says::Issued(Duration::from_secs(90 * 24 * 60 * 60));

#[test]
fn each_name_gets_one_certificate_and_then_nothing_is_done() {
    test(&[DAYS], |world| async move {
        world.run(&["a.test", "b.test"], HOUR).await;
        assert_eq!(world.ordered(), ["a.test", "b.test"]);
        assert_eq!(world.orders.ok.get(), 2);
        for name in ["a.test", "b.test"] {
            assert!(world.state().certificate(name).exists());
        }
        world.run(&["a.test", "b.test"], HOUR).await;
        assert_eq!(world.ordered().len(), 2, "another process finds them");
    });
}

#[test]
fn a_certificate_is_renewed_in_its_last_third() {
    test(&[Says::Issued(HOUR)], |world| async move {
        world.run(&["a.test"], 3 * HOUR).await;
        assert_eq!(world.gaps(), [40, 40, 40, 40]);
    });
}

#[test]
fn processes_with_one_state_order_a_name_once() {
    test(&[DAYS], |world| async move {
        let (first, second) = (world.process(&["a.test"]), world.process(&["a.test"]));
        let _ = timeout(HOUR, async { tokio::join!(first.run(), second.run()) }).await;
        assert_eq!(world.ordered(), ["a.test"]);
    });
}

#[test]
fn a_process_orders_what_it_alone_needs() {
    test(&[DAYS], |world| async move {
        let (first, second) = (world.process(&["a.test"]), world.process(&["b.test"]));
        let _ = timeout(HOUR, async { tokio::join!(first.run(), second.run()) }).await;
        assert_eq!(world.ordered(), ["a.test", "b.test"]);
    });
}

#[test]
fn a_failed_order_is_tried_again_ever_more_rarely() {
    test(&[Says::No("caa", 403, None)], |world| async move {
        world.run(&["a.test"], 2 * HOUR).await;
        assert_eq!(world.gaps(), [1, 2, 4, 8, 16, 32]);
        assert_eq!(world.orders.failed.get(), 7);
    });
}

#[test]
fn a_failure_is_not_forgotten_by_the_next_process() {
    let no = Says::No("caa", 403, None);
    test(&[no, no, no, DAYS], |world| async move {
        for _ in 0..60 {
            world.run_and_drain(&["a.test"], 10 * SECOND).await;
        }
        assert_eq!(world.gaps(), [1, 2, 4]);
        assert_eq!(world.orders.ok.get(), 1);
        assert!(!world.state().failure("a.test").exists(), "it is forgotten with success");
    });
}

#[test]
fn the_ca_s_own_pause_is_kept() {
    let limited = Says::No("rateLimited", 429, Some(2 * HOUR));
    test(&[limited, DAYS], |world| async move {
        world.run(&["a.test"], 3 * HOUR).await;
        assert_eq!(world.gaps(), [120]);
    });
}

#[test]
fn a_failed_name_does_not_keep_the_others_waiting() {
    test(&[Says::No("caa", 403, None), DAYS], |world| async move {
        world.run(&["a.test", "b.test"], 50 * SECOND).await;
        assert_eq!(world.ordered(), ["a.test", "b.test"]);
        assert_eq!((world.orders.ok.get(), world.orders.failed.get()), (1, 1));
    });
}

#[test]
fn a_ca_that_is_down_is_asked_once_for_all_names() {
    test(&[DAYS], |world| async move {
        world.book.is_down.set(true);
        world.run(&["a.test", "b.test", "c.test"], 30 * SECOND).await;
        assert_eq!((world.book.opened.get(), world.orders.failed.get()), (1, 3));
        world.book.is_down.set(false);
        world.run(&["a.test", "b.test", "c.test"], 5 * MINUTE).await;
        assert_eq!(world.ordered(), ["a.test", "b.test", "c.test"]);
    });
}

#[test]
fn a_ca_that_goes_down_is_not_asked_for_the_other_names() {
    test(&[Says::No("serverInternal", 503, None)], |world| async move {
        world.run(&["a.test", "b.test", "c.test"], 40 * SECOND).await;
        assert_eq!(world.ordered(), ["a.test"]);
        assert_eq!(world.orders.failed.get(), 3);
    });
}

#[test]
fn a_renewal_that_fails_leaves_the_old_certificate() {
    test(&[Says::Issued(HOUR), Says::No("serverInternal", 500, None)], |world| async move {
        world.run(&["a.test"], MINUTE).await;
        let before = fs::read(world.state().certificate("a.test")).expect("is there");
        world.run(&["a.test"], HOUR).await;
        assert!(world.ordered().len() > 2);
        assert_eq!(fs::read(world.state().certificate("a.test")).expect("is there"), before);
    });
}

#[test]
fn an_account_that_the_ca_has_forgotten_is_given_up() {
    test(&[Says::No("accountDoesNotExist", 400, None)], |world| async move {
        world.run(&["a.test"], TAKES + SECOND).await;
        assert!(!world.state().account().exists());
    });
}

#[test]
fn a_certificate_of_another_ca_is_replaced_at_the_start() {
    test(&[Says::No("caa", 403, None), DAYS], |world| async move {
        world.keep("a.test", "https://staging.test/", clock(), clock() + 1000 * HOUR);
        world.run(&["a.test"], HOUR).await;
        assert_eq!(world.ordered(), ["a.test", "a.test"], "until it is");
    });
}

#[test]
fn a_certificate_that_another_process_gets_elsewhere_is_left_alone() {
    test(&[DAYS], |world| async move {
        let later = async {
            sleep(5 * MINUTE).await;
            world.keep("a.test", "https://staging.test/", clock(), clock() + 1000 * HOUR);
        };
        tokio::join!(world.run(&["a.test"], HOUR), later);
        assert_eq!(world.ordered(), ["a.test"]);
    });
}

#[test]
fn a_certificate_that_cannot_be_served_is_replaced() {
    test(&[DAYS], |world| async move {
        fs::write(world.state().certificate("a.test"), "scrambled").expect("can be written");
        world.run(&["a.test"], HOUR).await;
        assert_eq!(world.ordered(), ["a.test"]);
    });
}

#[test]
fn a_certificate_that_is_removed_is_ordered_within_a_minute() {
    test(&[DAYS], |world| async move {
        let later = async {
            sleep(5 * MINUTE).await;
            fs::remove_file(world.state().certificate("a.test")).expect("is there");
        };
        tokio::join!(world.run(&["a.test"], 6 * MINUTE + SECOND), later);
        assert_eq!(world.ordered(), ["a.test", "a.test"]);
    });
}

#[test]
fn what_the_ca_wants_renewed_now_is() {
    test(&[DAYS], |world| async move {
        world.book.advice.set(Some(clock() + 2 * HOUR));
        world.run(&["a.test"], 2 * HOUR + MINUTE).await;
        assert_eq!(world.gaps(), [120]);
    });
}

#[test]
fn an_issued_certificate_that_is_none_is_a_failure() {
    test(&[Says::Issued(Duration::ZERO)], |world| async move {
        world.run(&["a.test"], 30 * SECOND).await;
        assert_eq!((world.orders.ok.get(), world.orders.failed.get()), (0, 1));
        assert!(!world.state().certificate("a.test").exists());
    });
}

#[test]
fn nothing_is_begun_once_the_process_drains() {
    test(&[DAYS], |world| async move {
        let drain = async {
            sleep(TAKES / 2).await;
            world.goes_on.send_replace(false);
        };
        let run = world.process(&["a.test", "b.test"]).run();
        let ended = timeout(TAKES + SECOND, async { tokio::join!(run, drain) }).await;
        assert!(ended.is_ok(), "it ends");
        assert_eq!(world.ordered(), ["a.test"]);
        assert!(world.state().certificate("a.test").exists(), "what was begun is finished");
    });
}

#[test]
fn answers_that_an_ended_process_left_are_removed_at_the_start() {
    test(&[DAYS], |world| async move {
        world.keep("a.test", DIRECTORY, clock(), clock() + 1000 * HOUR);
        let stale = world.root().join("challenges/http/stale");
        fs::write(&stale, "x").expect("can be written");
        world.run(&["a.test"], SECOND).await;
        assert!(!stale.exists() && world.ordered().is_empty());
    });
}

#[test]
fn a_folder_that_cannot_be_used_is_tried_again() {
    test(&[DAYS], |world| async move {
        fs::write(world.root(), "no folder").expect("can be written");
        let later = async {
            sleep(5 * MINUTE).await;
            assert!(world.ordered().is_empty());
            fs::remove_file(world.root()).expect("is there");
        };
        tokio::join!(world.run(&["a.test"], 10 * MINUTE), later);
        assert_eq!(world.ordered(), ["a.test"]);
    });
}

#[test]
fn a_failure_that_cannot_be_written_is_kept_in_mind() {
    test(&[Says::No("caa", 403, None)], |world| async move {
        // So long that there can be no file with something added to it.
        let name = "a".repeat(250);
        world.run(&[&name], 9 * MINUTE).await;
        assert_eq!(world.gaps(), [1, 2, 4]);
        assert!(!world.state().failure(&name).exists());
    });
}

//! Files that change: what is loaded, what is kept, and who looks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{World, client::Client, pki, remove};
use crate::vitals::Vitals;

#[test]
fn a_new_certificate_is_shown_after_a_look() {
    let world = World::with(&["a.test", "b.test"]);
    let opened = world.open();
    let made = pki::signed_by_itself(&["a.test", "c.test"]);
    world.folder.write_pair("a.test", &made);
    opened.look();
    assert_eq!(opened.reloads(), (1, 0));
    for name in ["a.test", "c.test"] {
        let seen = Client::new().shake(&opened.server(), name).expect("is served");
        assert_eq!(seen.server, made.der());
    }
    assert_eq!(opened.shown(Some("b.test")), "b.test");
    opened.look();
    assert_eq!(opened.reloads(), (1, 0));
}

#[test]
fn nothing_is_swapped_while_nothing_changes() {
    let opened = World::with(&["a.test"]).open();
    let before = opened.loaded();
    opened.look();
    assert!(Arc::ptr_eq(&before, &opened.loaded()));
}

#[test]
fn a_pair_that_is_half_replaced_is_not_reported_before_the_other_half_comes() {
    let world = World::with(&["a.test"]);
    let opened = world.open();
    let made = pki::signed_by_itself(&["b.test"]);
    world.folder.write("a.test.cert", &made.cert);
    opened.0.look();
    assert_eq!(opened.shown(None), "a.test");
    world.folder.write("a.test.key", &made.key);
    opened.0.look();
    assert_eq!(opened.shown(None), "b.test");
    assert_eq!(opened.reloads(), (1, 0));
}

#[test]
fn a_broken_or_vanished_file_keeps_what_was_there_and_holds_up_no_other() {
    let world = World::with(&["a.test", "b.test"]);
    let opened = world.open();
    let breaks: [fn(&World); 2] = [
        |world| drop(world.folder.write("a.test.cert", "broken")),
        |world| remove(&world.folder.path("a.test.cert")),
    ];
    for break_it in breaks {
        let (ok, failed) = opened.reloads();
        break_it(&world);
        world.folder.write_pair("b.test", &pki::signed_by_itself(&["b.test", "new.test"]));
        opened.look();
        opened.look();
        assert_eq!(opened.shown(Some("a.test")), "a.test");
        assert_eq!(opened.shown(Some("new.test")), "b.test");
        assert_eq!(opened.reloads(), (ok + 1, failed + 1));
    }
    world.folder.write_pair("a.test", &pki::signed_by_itself(&["a.test", "again.test"]));
    opened.look();
    assert_eq!(opened.shown(Some("again.test")), "a.test");
}

#[test]
fn files_are_looked_at_until_nobody_watches() {
    let world = World::with(&["a.test"]);
    let opened = world.open();
    let watching = Arc::clone(&opened.0).watch(&Vitals::new().0).expect("a thread starts");
    world.folder.write_pair("a.test", &pki::signed_by_itself(&["b.test"]));
    until(|| opened.shown(None) == "b.test");
    drop(watching);
    until(|| Arc::strong_count(&opened.0) == 1);
}

#[test]
fn without_tls_there_is_no_thread() {
    let mut world = World::new();
    world.config.listeners[0].tls = None;
    let opened = world.open();
    let _watching = Arc::clone(&opened.0).watch(&Vitals::new().0).expect("nothing can fail");
    assert_eq!(Arc::strong_count(&opened.0), 1);
    assert!(opened.0.listener(0).is_none() && opened.0.listener(1).is_none());
}

fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn the_end_of_a_certificate_is_told_by_listener_and_name() {
    let mut world = World::with(&["b.test"]);
    for (file, days) in [("late", 20), ("early", 10), ("later", 30)] {
        world.folder.write_pair(file, &pki::until_day(&["a.test"], days));
        world.add(&format!("{file}.cert"), &format!("{file}.key"));
    }
    let opened = world.open();
    let listener = "0.0.0.0:8080";
    let ends: Vec<_> = opened.0.not_after().into_iter().collect();
    assert_eq!(
        ends,
        [
            ((listener, "a.test".to_owned()), 10 * 86_400),
            ((listener, "b.test".to_owned()), 4_102_444_800),
        ]
    );
}

//! Which connections a pool keeps, and which it gives out.

use futures_util::FutureExt;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::scratch::Scratch;

fn connection() -> (Connection, DuplexStream) {
    let (ours, theirs) = duplex(64);
    (Connection::new(Box::new(ours), Scratch::default(), Arc::default()), theirs)
}

#[test]
fn a_closed_connection_is_passed_over() {
    let pool = Pool::default();
    let (open, _peer) = connection();
    let (closed, peer) = connection();
    pool.put(open);
    pool.put(closed);
    drop(peer);
    assert!(pool.take().is_some());
    assert!(pool.take().is_none());
}

#[test]
fn a_connection_with_unasked_bytes_is_passed_over() {
    let pool = Pool::default();
    let (noisy, mut peer) = connection();
    pool.put(noisy);
    let written = peer.write_all(b"HTTP/1.1 200 OK\r\n").now_or_never();
    written.expect("fits the pipe").expect("is open");
    assert!(pool.take().is_none());
}

/// Runs on paused time.
fn run(test: impl AsyncFnOnce()) {
    actix_rt::System::new().block_on(async {
        tokio::time::pause();
        test().await;
    });
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn idle_connections_age_out() {
    run(async || {
        let pool = Pool::default();
        pool.sweep();
        let (idle, _peer) = connection();
        pool.put(idle);
        for _ in 0..59 {
            tokio::time::advance(seconds(1)).await;
            pool.sweep();
            assert_eq!(pool.len(), 1);
        }
        tokio::time::advance(seconds(1)).await;
        pool.sweep();
        assert!(pool.is_empty());
    });
}

#[test]
fn a_connection_that_is_always_in_use_ages_too() {
    run(async || {
        let pool = Pool::default();
        let (mut busy, _peer) = connection();
        for _ in 0..59 {
            pool.put(busy);
            tokio::time::advance(seconds(60)).await;
            busy = pool.take().expect("is not an hour old");
        }
        tokio::time::advance(seconds(60)).await;
        pool.put(busy);
        assert!(pool.is_empty());
    });
}

#[test]
fn what_an_endpoint_says_of_its_patience_is_heeded_less_a_second_to_spare() {
    run(async || {
        for (kept_for, waits, is_given) in [(4, 3, true), (4, 4, false), (0, 0, false)] {
            let pool = Pool::default();
            // The time of the last sweep would be too far off.
            pool.sweep();
            tokio::time::advance(Duration::from_millis(900)).await;
            let (mut idle, _peer) = connection();
            idle.kept_for = Some(seconds(kept_for));
            pool.put(idle);
            tokio::time::advance(seconds(waits)).await;
            assert_eq!(pool.take().is_some(), is_given, "{kept_for} s, after {waits} s");
        }
    });
}

#[test]
fn connections_to_addresses_that_a_name_no_longer_has_are_given_to_nobody() {
    let [old, new] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("is one"));
    let name = Name::told(&[old]);
    let pool = Pool::new(PoolConfig::default(), Some(Arc::clone(&name)), Arc::default());
    let to = |address| {
        let (mut opened, peer) = connection();
        (opened.address, opened.known_in) = (Some(address), name.version());
        (opened, peer)
    };
    let (idle, _first) = to(old);
    let (busy, _second) = to(old);
    pool.put(idle);
    name.learn(Ok(vec![new]));
    let (fresh, _third) = to(new);
    pool.put(busy);
    assert!(pool.take().is_none(), "it leads to the old address");
    pool.put(fresh);
    name.learn(Ok(vec![new, old]));
    assert!(pool.take().is_some(), "the name has it still");
}

#[test]
fn an_endpoint_that_sends_a_body_where_there_is_none_is_asked_once_a_connection_from_then_on() {
    let pool = Pool::default();
    let doubtful = || {
        let (mut opened, peer) = connection();
        opened.is_doubtful = true;
        (opened, peer)
    };
    let (first, mut peer) = doubtful();
    pool.put(first);
    assert_eq!(pool.len(), 1);
    let written = peer.write_all(b"HTTP/1.1 200 OK\r\n").now_or_never();
    written.expect("fits the pipe").expect("is open");
    assert!(pool.take().is_none());
    let (second, _peer) = doubtful();
    pool.put(second);
    assert!(pool.is_empty());
}

/// More of them than a task may read from in one turn.
#[test]
fn all_that_are_closed_go_at_once() {
    let close: [fn(&Pool); 2] = [Pool::sweep, |pool| assert!(pool.take().is_none())];
    for look in close {
        actix_rt::System::new().block_on(async {
            let pool = Pool::default();
            for _ in 0..600 {
                pool.put(connection().0);
            }
            look(&pool);
            assert!(pool.is_empty(), "{} are left", pool.len());
            assert_eq!(pool.counted.idle.get(), 0);
        });
    }
}

#[test]
fn the_pool_is_bounded() {
    let pool = Pool::default();
    let mut peers = Vec::new();
    for _ in 0..=1024 {
        let (idle, peer) = connection();
        pool.put(idle);
        peers.push(peer);
    }
    assert_eq!(pool.len(), 1024);
    let none = PoolConfig { max_idle: 0, ..PoolConfig::default() };
    let none = Pool::new(none, None, Arc::default());
    none.put(connection().0);
    assert!(none.is_empty());
}

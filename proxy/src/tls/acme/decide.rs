//! When a certificate is ordered. Values in, values out: the time and the randomness are given.
//!
//! A certificate is renewed once less than a third of its lifetime is left, as Let's Encrypt
//! advises, or when the CA itself asks for it (RFC 9773). The moment is spread over a thirtieth of
//! the lifetime, so that proxies which began together do not all ask at once.

use std::time::{Duration, SystemTime};

/// A renewal is due with this part of the lifetime left: one third.
const PART_LEFT: u32 = 3;
/// The moment is put off by up to this part of the lifetime.
const PART_SPREAD: u32 = 30;
/// After the first failure; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 60 * 60);
/// A pause is shortened by up to this share.
const RETRY_SPREAD: f64 = 0.25;
/// What has just been ordered is not ordered again so soon, whatever the CA suggests.
const MOST_SETTLED: Duration = Duration::from_secs(60 * 60);
/// A CA that counts the requests of a week cannot ask for more.
const LONGEST_ASKED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

/// What is known about the certificate of a name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// `None`: there is none of use.
    pub(super) certificate: Option<Validity>,
    /// When the CA would like it renewed.
    pub(super) suggested: Option<SystemTime>,
    /// When this process ordered it.
    pub(super) ordered: Option<SystemTime>,
    /// Not before this, after a failure.
    pub(super) retry: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Order,
    /// Nothing is to be done before.
    At(SystemTime),
}

/// What is to be done; `spread`, from 0 to 1, is this process's own.
pub(super) fn decide(known: &Known, now: SystemTime, spread: f64) -> Next {
    let renewal = known.certificate.map(|validity| renewal(validity, known, spread));
    match renewal.into_iter().chain(known.retry).max() {
        Some(at) if at > now => Next::At(at),
        Some(_) | None => Next::Order,
    }
}

fn renewal(validity: Validity, known: &Known, spread: f64) -> SystemTime {
    let Validity { not_before, not_after } = validity;
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    let own = not_after - lifetime / PART_LEFT + (lifetime / PART_SPREAD).mul_f64(spread);
    // Whatever a CA hands out or suggests, orders do not follow each other at once.
    let half = known
        .ordered
        .map(|ordered| (ordered, not_after.duration_since(ordered).unwrap_or_default() / 2));
    let own = half.map_or(own, |(ordered, half)| own.max(ordered + half));
    let suggested = known.suggested.map(|suggested| {
        half.map_or(suggested, |(ordered, half)| suggested.max(ordered + half.min(MOST_SETTLED)))
    });
    suggested.map_or(own, |suggested| suggested.min(own))
}

/// The pause after this many failures in a row, the last one included; `asked` is what the CA wants
/// at least.
pub(super) fn pause(failures: u32, asked: Option<Duration>, spread: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let own = LONGEST_RETRY.min(FIRST_RETRY * (1 << doublings));
    let own = own.mul_f64(1.0 - RETRY_SPREAD * spread);
    asked.map_or(own, |asked| own.max(asked.min(LONGEST_ASKED)))
}

/// A moment in the window that the CA suggests (RFC 9773 section 4.2).
pub(super) fn within(start: SystemTime, end: SystemTime, spread: f64) -> SystemTime {
    start + end.duration_since(start).unwrap_or_default().mul_f64(spread)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const MINUTE: Duration = Duration::from_secs(60);

    fn day(number: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * (20_000 + number)
    }

    /// Good for 90 days.
    fn certificate() -> Known {
        let certificate = Some(Validity { not_before: day(0), not_after: day(90) });
        Known { certificate, ..Known::default() }
    }

    #[test]
    fn a_name_without_certificate_is_ordered_at_once() {
        assert_eq!(decide(&Known::default(), day(0), 0.5), Next::Order);
    }

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_lifetime_left() {
        let renewal = day(60);
        assert_eq!(decide(&certificate(), renewal - MINUTE, 0.0), Next::At(renewal));
        assert_eq!(decide(&certificate(), renewal, 0.0), Next::Order);
    }

    #[test]
    fn renewals_are_spread_over_a_thirtieth_of_the_lifetime() {
        assert_eq!(decide(&certificate(), day(60), 1.0), Next::At(day(63)));
        assert_eq!(decide(&certificate(), day(63), 1.0), Next::Order);
    }

    #[test]
    fn a_certificate_that_has_ended_is_ordered_at_once() {
        assert_eq!(decide(&certificate(), day(91), 1.0), Next::Order);
    }

    #[test]
    fn the_ca_may_ask_for_a_renewal_earlier_but_not_later() {
        let suggested = |at| Known { suggested: Some(at), ..certificate() };
        assert_eq!(decide(&suggested(day(5)), day(4), 0.0), Next::At(day(5)));
        assert_eq!(decide(&suggested(day(5)), day(5), 0.0), Next::Order);
        assert_eq!(decide(&suggested(day(80)), day(60), 0.0), Next::Order);
    }

    #[test]
    fn a_ca_that_suggests_to_renew_what_it_has_just_issued_is_asked_once_an_hour() {
        let known = Known { suggested: Some(day(1)), ordered: Some(day(2)), ..certificate() };
        assert_eq!(decide(&known, day(2), 0.0), Next::At(day(2) + 60 * MINUTE));
        assert_eq!(decide(&known, day(2) + 60 * MINUTE, 0.0), Next::Order);
    }

    #[test]
    fn after_a_failure_nothing_is_ordered_before_its_pause_is_over() {
        let failed = Known { retry: Some(day(2)), ..Known::default() };
        assert_eq!(decide(&failed, day(1), 0.5), Next::At(day(2)));
        assert_eq!(decide(&failed, day(2), 0.5), Next::Order);
        let renewal_failed = Known { retry: Some(day(62)), ..certificate() };
        assert_eq!(decide(&renewal_failed, day(61), 0.0), Next::At(day(62)));
        let old_failure = Known { retry: Some(day(2)), ..certificate() };
        assert_eq!(decide(&old_failure, day(3), 0.0), Next::At(day(60)));
    }

    #[test]
    fn what_is_as_good_as_over_when_it_comes_is_not_ordered_again_at_once() {
        let ordered = Known { ordered: Some(day(80)), ..certificate() };
        assert_eq!(decide(&ordered, day(80), 0.0), Next::At(day(85)));
        let in_time = Known { ordered: Some(day(0)), ..certificate() };
        assert_eq!(decide(&in_time, day(1), 0.0), Next::At(day(60)));
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_ordered() {
        let certificate = Some(Validity { not_before: day(90), not_after: day(0) });
        let known = Known { certificate, ..Known::default() };
        assert_eq!(decide(&known, day(1), 1.0), Next::Order);
    }

    #[test]
    fn pauses_double_from_a_minute_to_six_hours() {
        let minutes: Vec<u64> =
            (1..=11).map(|failures| pause(failures, None, 0.0).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
    }

    #[test]
    fn the_ca_may_ask_for_a_longer_pause_but_not_for_ever() {
        assert_eq!(pause(1, Some(3 * MINUTE), 0.0), 3 * MINUTE);
        assert_eq!(pause(3, Some(MINUTE), 0.0), 4 * MINUTE);
        assert_eq!(pause(1, Some(365 * DAY), 0.0), 7 * DAY);
    }

    #[test]
    fn a_window_that_ends_before_it_begins_is_its_beginning() {
        assert_eq!(within(day(3), day(5), 0.5), day(4));
        assert_eq!(within(day(5), day(3), 0.5), day(5));
    }

    proptest! {
        #[test]
        fn a_pause_is_45_seconds_to_six_hours(failures: u32, spread in 0.0..=1.0) {
            let pause = pause(failures, None, spread);
            prop_assert!((MINUTE.mul_f64(0.75)..=LONGEST_RETRY).contains(&pause), "{pause:?}");
        }

        #[test]
        fn a_renewal_leaves_half_of_what_was_left(
            begun in 0_u32..200, lived in 1_u32..400, ordered in 0_u32..200, spread in 0.0..=1.0,
        ) {
            let validity = Validity { not_before: day(begun), not_after: day(begun + lived) };
            let known = Known {
                certificate: Some(validity),
                ordered: Some(day(ordered)),
                ..Known::default()
            };
            if let Next::At(at) = decide(&known, day(ordered), spread) {
                prop_assert!(at <= validity.not_after);
                let left = validity.not_after.duration_since(day(ordered)).unwrap_or_default();
                prop_assert!(at >= day(ordered) + left / 2);
            } else {
                prop_assert!(validity.not_after <= day(ordered));
            }
        }
    }
}

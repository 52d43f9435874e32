//! Slow start: an endpoint that became eligible gets a tenth of its share at first and, in a
//! straight line, all of it at the end of `slow_start`, so that cold caches and compilers are not
//! hit by a full load. Pure. Envoy calls it [slow start mode][envoy], with aggression 1.
//!
//! [envoy]: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/slow_start

use std::time::Duration;

use crate::{balance::WEIGHT_UNIT, clock::Millis};

const FIRST_PERMILLE: u64 = 100;
/// How often the weight grows.
const STEPS: u64 = 100;

/// The weight of an endpoint eligible since `since`, in units of 1/256 of the configured one;
/// never 0, never less than a moment before.
pub fn effective(weight: u32, since: Millis, now: Millis, slow_start: Option<Duration>) -> u32 {
    let full = u64::from(weight) * u64::from(WEIGHT_UNIT);
    let share = slow_start.map_or(1000, |whole| permille(now.after(since), Millis::count(whole)));
    u32::try_from(full * share / 1000).unwrap_or(u32::MAX).max(1)
}

/// When the weight is looked at again: in a hundredth of the time that slow start takes. `None` once
/// it is over.
pub fn next_step(since: Millis, now: Millis, slow_start: Option<Duration>) -> Option<Millis> {
    let whole = Millis::count(slow_start?);
    (now.after(since) < whole).then(|| now.plus((whole / STEPS).max(1)))
}

fn permille(elapsed: u64, whole: u64) -> u64 {
    if elapsed >= whole {
        return 1000;
    }
    FIRST_PERMILLE + elapsed.saturating_mul(1000 - FIRST_PERMILLE) / whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SINCE: Millis = Millis(5000);
    const TEN_SECONDS: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn the_weight_rises_from_a_tenth_to_all_in_a_straight_line() {
        for (now, expected) in
            [(0, 51), (5000, 51), (7500, 166), (10_000, 281), (14_999, 511), (15_000, 512)]
        {
            assert_eq!(effective(2, SINCE, Millis(now), TEN_SECONDS), expected, "at {now} ms");
        }
        assert_eq!(effective(2, SINCE, SINCE, None), 512);
        assert_eq!(effective(u32::MAX, SINCE, SINCE, None), u32::MAX);
    }

    proptest! {
        #[test]
        fn the_weight_never_falls_and_is_never_zero(
            weight in any::<u32>(),
            since in any::<u64>(),
            slow_start in 0u64..1 << 40,
            mut times in proptest::collection::vec(any::<u64>(), 1..20),
            near in proptest::collection::vec(0u64..1 << 41, 1..20),
        ) {
            times.extend(near.iter().map(|after| since.saturating_add(*after)));
            times.sort_unstable();
            let slow_start = Some(Duration::from_millis(slow_start));
            let weigh = |now| effective(weight, Millis(since), Millis(now), slow_start);
            let weights: Vec<u32> = times.into_iter().map(weigh).collect();
            prop_assert!(weights.is_sorted() && weights[0] > 0, "{:?}", weights);
            prop_assert!(weights.iter().all(|now| *now <= weight.saturating_mul(WEIGHT_UNIT).max(1)));
        }
    }
}

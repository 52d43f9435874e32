//! Whether a request is sent again, and when. Pure: what happened, the clock and chance are passed
//! in; `forward/` acts on it.
//!
//! Backoff is exponential with full jitter, so that clients of a service that comes back do not
//! return together: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.

pub mod budget;

use std::time::Duration;

use actix_http::{Method, StatusCode};
use rand::{RngExt, rngs::SmallRng};

use crate::{
    config::{RetryConfig, RetryMethods, RetryOverrides, RetryRule},
    error::Reason,
};

/// No pause between two tries is longer, but for one that the endpoint asks for.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// An endpoint that asks for a longer pause gets no other try.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What a service says of retries, and its route.
#[derive(Clone, Copy)]
pub struct RetryPolicy<'a> {
    service: &'a RetryConfig,
    route: &'a RetryOverrides,
}

/// How a try ended that did not give the answer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing of the request has reached the endpoint.
    Connect,
    Reset,
    Timeout,
    Status(StatusCode),
    /// Another try would end the same way.
    Final,
}

/// One try, as far as it matters for another.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub trouble: Trouble,
    /// What the endpoint asks for.
    pub retry_after: Option<Duration>,
}

impl Trouble {
    /// `is_sent` is whether the endpoint may have seen some of the request.
    pub fn of(reason: Reason, is_sent: bool) -> Self {
        match reason {
            Reason::ConnectFailed
            | Reason::ConnectionRefused
            | Reason::ConnectTimeout
            | Reason::NameUnresolved => Self::Connect,
            Reason::UpstreamReset | Reason::UpstreamTls if !is_sent => Self::Connect,
            Reason::UpstreamReset | Reason::UpstreamTls => Self::Reset,
            Reason::ResponseTimeout | Reason::IdleTimeout => Self::Timeout,
            _ => Self::Final,
        }
    }

    /// The label of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Final => "none",
        }
    }
}

impl<'a> RetryPolicy<'a> {
    pub fn of(service: &'a RetryConfig, route: &'a RetryOverrides) -> Self {
        Self { service, route }
    }

    fn rule(&self) -> RetryRule<'a> {
        self.service.overridden(self.route)
    }

    /// The longest request body that is kept for another try, in bytes.
    pub fn body_limit(&self) -> usize {
        self.rule().body_limit
    }

    /// Whether a request of `method` may be sent again after an endpoint has seen it.
    pub fn repeats(&self, method: &Method) -> bool {
        self.rule().attempts > 1
            && match self.rule().methods {
                RetryMethods::Idempotent => method.is_idempotent(),
                RetryMethods::Any => true,
                RetryMethods::List(methods) => methods.contains(method),
            }
    }

    /// Whether `status` is a reason for another try.
    pub fn is_unwanted(&self, status: StatusCode) -> bool {
        status.is_server_error() && self.rule().on.status(status.as_u16())
    }

    /// Whether another try may follow this one, which was the `tries`-th.
    pub fn allows(&self, method: &Method, tries: u32, ended: &Ended) -> bool {
        let is_asked = match ended.trouble {
            Trouble::Connect => self.rule().on.connect(),
            Trouble::Reset => self.rule().on.reset(),
            Trouble::Timeout => self.rule().on.timeout(),
            Trouble::Status(status) => self.is_unwanted(status),
            Trouble::Final => false,
        };
        let is_safe = ended.trouble == Trouble::Connect || self.repeats(method);
        let is_soon = ended.retry_after.is_none_or(|after| after <= LONGEST_RETRY_AFTER);
        tries < self.rule().attempts && is_asked && is_safe && is_soon
    }

    /// How long to wait before the try that follows the `tries`-th.
    pub fn delay(&self, tries: u32, ended: &Ended, rng: &mut SmallRng) -> Duration {
        let doublings = tries.saturating_sub(1).min(16);
        let most = (self.rule().backoff * 2_u32.pow(doublings)).min(LONGEST_BACKOFF);
        let jittered = most.mul_f64(rng.random_range(0.0..=1.0));
        ended.retry_after.map_or(jittered, |after| after.max(jittered))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::config::Config;

    fn ended(trouble: Trouble) -> Ended {
        Ended { trouble, retry_after: None }
    }

    /// Checks the policy of a service with these keys of `retry`.
    fn with(keys: &str, check: impl FnOnce(RetryPolicy<'_>)) {
        let text = format!("[services.a]\nendpoints = [\"http://a\"]\nretry = {{ {keys} }}\n");
        let config = Config::load(&text, "test", &|_| None).expect("is valid");
        check(RetryPolicy::of(&config.services[0].retry, &RetryOverrides::default()));
    }

    #[test]
    fn by_default_one_other_try_follows_where_nothing_was_sent() {
        with("", |policy| {
            for method in [Method::GET, Method::POST] {
                assert!(policy.allows(&method, 1, &ended(Trouble::Connect)));
                assert!(!policy.allows(&method, 2, &ended(Trouble::Connect)));
            }
            for trouble in
                [Trouble::Reset, Trouble::Timeout, Trouble::Status(StatusCode::BAD_GATEWAY)]
            {
                assert!(!policy.allows(&Method::GET, 1, &ended(trouble)), "{trouble:?}");
            }
        });
    }

    #[test]
    fn what_an_endpoint_may_have_seen_is_repeated_only_if_the_method_is_safe_to_repeat() {
        with("on = [\"reset\", \"503\"]", |policy| {
            for trouble in [Trouble::Reset, Trouble::Status(StatusCode::SERVICE_UNAVAILABLE)] {
                assert!(policy.allows(&Method::PUT, 1, &ended(trouble)));
                assert!(!policy.allows(&Method::POST, 1, &ended(trouble)));
            }
            assert!(!policy.allows(&Method::GET, 1, &ended(Trouble::Connect)), "not asked for");
        });
        with("on = \"reset\", methods = \"any\"", |policy| {
            assert!(policy.allows(&Method::POST, 1, &ended(Trouble::Reset)));
        });
    }

    #[test]
    fn a_pause_that_is_long_is_the_end() {
        with("", |policy| {
            let retry_after = Some(Duration::from_secs(6));
            let late = Ended { retry_after, ..ended(Trouble::Connect) };
            assert!(!policy.allows(&Method::GET, 1, &late));
        });
    }

    #[test]
    fn pauses_are_jittered_below_a_bound_that_doubles() {
        let mut rng = SmallRng::seed_from_u64(3);
        with("", |policy| {
            for tries in 1..=9 {
                let most = Duration::from_millis(25 << (tries - 1)).min(LONGEST_BACKOFF);
                let mut delay = || policy.delay(tries, &ended(Trouble::Reset), &mut rng);
                let delays: Vec<Duration> = (0..200).map(|_| delay()).collect();
                assert!(delays.iter().all(|delay| *delay <= most));
                assert!(delays.iter().any(|delay| *delay > most / 2));
                assert!(delays.iter().any(|delay| *delay < most / 2));
            }
            let retry_after = Some(Duration::from_secs(2));
            let asked = Ended { retry_after, ..ended(Trouble::Reset) };
            assert!(policy.delay(1, &asked, &mut rng) >= Duration::from_secs(2));
        });
    }
}

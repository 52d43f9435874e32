//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10): what a client may do,
//! and what is left of it.
//!
//! Both are lists of structured fields, which may be split over several fields (RFC 9651 section 3.1):
//! here each limit has one of its own, so that nothing is joined. A policy is `q` requests in `w`
//! seconds. `r` is what may be sent at once, so never more than the burst; `t` is when there is one
//! more.

use std::time::Duration;

use actix_http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::{BufMut, Bytes, BytesMut};

use super::gcra::Decision;
use crate::config::RateConfig;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The digits of both numbers and what is between them.
const NUMBERS: usize = 32;

/// The part of the fields that never changes.
pub struct Policy {
    whole: HeaderValue,
    /// `"name";r=`
    start: Bytes,
}

/// What is left to a client.
#[derive(Clone, Copy)]
pub struct Standing {
    remaining: u32,
    /// Seconds, rounded up: who comes back then is not too early.
    reset_secs: u64,
}

impl Policy {
    /// `name` is one that needs no quoting, as those of the configuration.
    pub fn new(name: &str, rate: &RateConfig) -> Self {
        let text = format!("\"{name}\";q={};w={}", rate.requests, secs(rate.per));
        let whole = HeaderValue::from_str(&text).expect("a name is letters, digits and -_.");
        Self { whole, start: format!("\"{name}\";r=").into() }
    }

    pub fn tell(&self, standing: Standing, headers: &mut HeaderMap) {
        headers.append(RATELIMIT_POLICY, self.whole.clone());
        let mut value = BytesMut::with_capacity(self.start.len() + NUMBERS);
        value.put_slice(&self.start);
        let mut digits = itoa::Buffer::new();
        value.put_slice(digits.format(standing.remaining).as_bytes());
        value.put_slice(b";t=");
        value.put_slice(digits.format(standing.reset_secs).as_bytes());
        let value = HeaderValue::from_maybe_shared(value.freeze());
        headers.append(RATELIMIT, value.expect("a name and digits are a value"));
    }
}

impl From<&Decision> for Standing {
    fn from(decision: &Decision) -> Self {
        Self { remaining: decision.remaining, reset_secs: secs(decision.reset_after) }
    }
}

/// Whole seconds, rounded up.
pub fn secs(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Store, rate_limit::gcra::Quota};

    #[test]
    fn each_limit_has_a_field_of_its_own_with_times_rounded_up() {
        let per = Duration::from_millis(59_001);
        let store = Store::Local { max_keys: 1024 };
        let policy = Policy::new("a.b", &RateConfig { requests: 100, per, burst: 20, store });
        let decision = Quota::new(100, per, 20).decide(0, 0);
        let mut headers = HeaderMap::new();
        policy.tell(Standing::from(&decision), &mut headers);
        policy.tell(Standing { remaining: 0, reset_secs: 86_400 }, &mut headers);
        let all = |name| headers.get_all(name).map(HeaderValue::as_bytes).collect::<Vec<_>>();
        let (first, second) = (&b"\"a.b\";r=19;t=1"[..], &b"\"a.b\";r=0;t=86400"[..]);
        assert_eq!(all("ratelimit"), [first, second]);
        assert_eq!(all("ratelimit-policy"), [&b"\"a.b\";q=100;w=60"[..]; 2]);
    }
}

//! The rate limits of the configuration, prepared, and which of them a route has, before it is known
//! who the client is and after.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU32},
};

use super::{fields::Policy, gcra::Quota, places::Places, shared::Shared, table::Table};
use crate::{
    config::{Config, KeyPart, RateConfig, RateLimitConfig, RedisConfig, Store},
    ids::{LimitId, Tables},
    record::Index,
};

/// All limits; shared by all workers.
pub struct RateLimits {
    limits: Vec<Arc<Limit>>,
    /// By the index of the route.
    routes: Vec<OfRoute>,
    pub redis: Option<RedisConfig>,
    /// Workers whose store is down.
    pub down: Arc<AtomicU32>,
}

pub struct Limit {
    pub id: LimitId,
    pub config: RateLimitConfig,
    pub rate: Option<Rate>,
    pub places: Option<Arc<Places>>,
}

pub struct Rate {
    pub quota: Quota,
    pub counted: Counted,
    pub policy: Policy,
}

/// Where requests are counted.
pub enum Counted {
    Here(Table),
    Shared(Shared),
}

/// Limits by index, in the order in which the route names them.
#[derive(Default)]
pub struct OfRoute {
    /// Those that count by the client's address, and perhaps the route: nobody's requests are
    /// counted but its own.
    pub before: Box<[usize]>,
    /// All others: a stranger must not use up what is somebody else's.
    pub after: Box<[usize]>,
}

impl RateLimits {
    /// Limits whose settings are those of `before` go on with what they have counted.
    pub fn new(config: &Config, before: Option<&Self>, tables: &mut Tables) -> Self {
        let known: HashMap<LimitId, &Arc<Limit>> =
            before.iter().flat_map(|before| &before.limits).map(|one| (one.id, one)).collect();
        let limit = |config: &RateLimitConfig| {
            let id = tables.limits.of(&config.name);
            let same = known.get(&id).filter(|before| before.config == *config);
            same.map_or_else(|| Arc::new(Limit::new(id, config)), |same| Arc::clone(same))
        };
        let limits: Vec<Arc<Limit>> = config.rate_limits.iter().map(limit).collect();
        let of_route = |named: &Vec<usize>| {
            let (before, after): (Vec<usize>, Vec<usize>) =
                named.iter().partition(|limit| limits[**limit].is_before());
            OfRoute { before: before.into(), after: after.into() }
        };
        let routes = config.routes.iter().map(|route| of_route(&route.rate_limits)).collect();
        let down = before.map(|before| Arc::clone(&before.down)).unwrap_or_default();
        Self { limits, routes, redis: config.redis.clone(), down }
    }

    /// Whether those that are shared are counted in the same store as those of `other`.
    pub fn share_with(&self, other: &Self) -> bool {
        let of = |limits: &Self| limits.redis.as_ref().map(|redis| redis.fingerprint);
        self.are_shared() == other.are_shared() && of(self) == of(other)
    }

    pub fn all(&self) -> &[Arc<Limit>] {
        &self.limits
    }

    pub fn limit(&self, index: usize) -> &Limit {
        &self.limits[index]
    }

    pub fn of_route(&self, route: Index) -> &OfRoute {
        &self.routes[route as usize]
    }

    /// Whether some limit is counted elsewhere.
    pub fn are_shared(&self) -> bool {
        let rates = self.limits.iter().filter_map(|limit| limit.rate.as_ref());
        rates.into_iter().any(|rate| matches!(rate.counted, Counted::Shared(_)))
    }

    /// Keys that each limit has given up while they counted, for those that are counted here.
    pub fn given_up(&self) -> impl Iterator<Item = (&str, u64)> {
        self.limits.iter().filter_map(|limit| match &limit.rate.as_ref()?.counted {
            Counted::Here(table) => Some((limit.config.name.as_str(), table.given_up())),
            // Those are still known to Redis.
            Counted::Shared(_) => None,
        })
    }
}

impl Limit {
    fn new(id: LimitId, config: &RateLimitConfig) -> Self {
        Self {
            id,
            config: config.clone(),
            rate: config.rate.as_ref().map(|rate| Rate::new(&config.name, rate)),
            places: config.in_flight.map(Places::new),
        }
    }

    fn is_before(&self) -> bool {
        let is_own = |part: &KeyPart| matches!(part, KeyPart::ClientIp | KeyPart::Route);
        let key = &self.config.key;
        key.contains(&KeyPart::ClientIp) && key.iter().all(is_own)
    }
}

impl Rate {
    fn new(name: &str, config: &RateConfig) -> Self {
        let counted = match config.store {
            Store::Local { max_keys } => Counted::Here(Table::new(max_keys)),
            Store::Redis => Counted::Shared(Shared::new(name)),
        };
        Self {
            quota: Quota::new(config.requests, config.per, config.burst),
            counted,
            policy: Policy::new(name, config),
        }
    }
}

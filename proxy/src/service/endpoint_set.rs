//! The endpoints of a service in their order, and the policy that chooses among them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rand::rngs::SmallRng;

use super::endpoint::{Endpoint, Rules};
use crate::{
    balance::{self, Ask, Balancer, Candidate, Candidates, Load, Member, Weights},
    config::{EndpointConfig, ServiceConfig},
    ids::EndpointId,
    left::Left,
};

/// Endpoints that have left a service and are kept.
const MOST_LEFT: usize = 1000;

/// Endpoints by place.
pub(super) struct EndpointSet {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Of the same endpoints; what policies look at.
    loads: Vec<Arc<Load>>,
    /// Endpoints that were in it before.
    left: Left<Endpoint>,
    balancer: Box<dyn Balancer>,
}

impl EndpointSet {
    /// Each endpoint keeps what it was in the set `before`.
    pub(super) fn build(
        config: &ServiceConfig,
        rules: &Rules<'_>,
        before: Option<&Self>,
        mut id_of: impl FnMut(&str) -> EndpointId,
    ) -> Self {
        let known: HashMap<EndpointId, &Arc<Endpoint>> = before
            .iter()
            .flat_map(|before| before.left.iter().chain(&before.endpoints))
            .map(|one| (one.id, one))
            .collect();
        let endpoint = |one: &EndpointConfig| {
            let id = id_of(&one.url.url);
            let before = known.get(&id).map(|before| &***before);
            Arc::new(Endpoint::build(id, one, rules, before))
        };
        let endpoints: Vec<Arc<Endpoint>> = config.endpoints.iter().map(endpoint).collect();
        let members: Vec<Member<'_>> = config
            .endpoints
            .iter()
            .map(|one| Member { url: &one.url.url, weight: one.weight })
            .collect();
        let present: HashSet<EndpointId> = endpoints.iter().map(|one| one.id).collect();
        let gone = before.iter().flat_map(|before| &before.endpoints);
        let gone = gone.filter(|one| !present.contains(&one.id));
        let gone = gone.map(|one| Arc::new(one.departed(config.outlier)));
        let left = before.map(|before| &before.left);
        Self {
            left: Left::build(left, gone, &present, |one| one.id, rules.now, MOST_LEFT),
            loads: endpoints.iter().map(|one| Arc::clone(&one.load)).collect(),
            balancer: balance::build(&config.balance, &members),
            endpoints,
        }
    }

    /// The place of one of `list`, which is not empty.
    pub(super) fn choose(
        &self,
        list: &[Candidate],
        weights: Weights,
        ask: &Ask,
        rng: &mut SmallRng,
    ) -> usize {
        let candidates = Candidates::new(list, &self.loads, weights);
        list[self.balancer.choose(&candidates, ask, rng)].place as usize
    }
}

//! The endpoints of a service in their order, and the policy that chooses among them.

use std::{collections::HashMap, sync::Arc};

use rand::rngs::SmallRng;

use super::endpoint::{Endpoint, Rules};
use crate::{
    balance::{self, Ask, Balancer, Candidate, Candidates, Load, Member, Weights},
    config::{EndpointConfig, ServiceConfig},
    ids::EndpointId,
};

/// Endpoints by place.
pub(super) struct EndpointSet {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    /// Of the same endpoints; what policies look at.
    loads: Vec<Arc<Load>>,
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
        let before = before.map_or(&[][..], |before| &before.endpoints);
        let before: HashMap<EndpointId, &Arc<Endpoint>> =
            before.iter().map(|one| (one.id, one)).collect();
        let endpoint = |one: &EndpointConfig| {
            let id = id_of(&one.url.url);
            let before = before.get(&id).map(|before| &***before);
            Arc::new(Endpoint::build(id, one, rules, before))
        };
        let endpoints: Vec<Arc<Endpoint>> = config.endpoints.iter().map(endpoint).collect();
        let members: Vec<Member<'_>> = config
            .endpoints
            .iter()
            .map(|one| Member { url: &one.url.url, weight: one.weight })
            .collect();
        Self {
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

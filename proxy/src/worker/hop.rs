//! A thread's half of a service: what is not `Send` of it, and what this thread knows of it. A request
//! that goes to the service holds the hop to its end.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::in_flight::InFlight;
use crate::{
    balance::Ask,
    clock::{Clock, Millis},
    error::{ProxyError, Reason},
    ids::EndpointId,
    retry::budget::RetryBudget,
    service::{EligibleList, Endpoint, Service},
    upstream::{NamedOrigins, Origin, OriginId, OwnPools},
};

pub struct Hop {
    pub service: Arc<Service>,
    /// What this thread may retry of the requests of the service.
    pub budget: Rc<RetryBudget>,
    pub clock: Clock,
    /// By place.
    ends: Box<[End]>,
    eligible: RefCell<EligibleList>,
}

/// A thread's half of an endpoint.
pub struct End {
    pub endpoint: Arc<Endpoint>,
    origins: Origins,
}

/// Where an endpoint is asked.
#[derive(Clone)]
pub(super) struct Origins {
    pub(super) usual: Rc<Origin>,
    /// There if it is asked by the name that each request says.
    pub(super) by_name: Option<Rc<NamedOrigins>>,
}

impl Hop {
    /// The connections of an endpoint, and what was spent of the budget, go on from the hop `before`, as
    /// far as connections are made in the same way.
    pub(super) fn build(
        service: &Arc<Service>,
        clock: Clock,
        before: Option<&Self>,
        connect: impl Fn(&Endpoint) -> Origins,
    ) -> Self {
        let percent = service.retry.budget;
        let budget = match before {
            Some(before) => Rc::clone(&before.budget),
            None => Rc::new(RetryBudget::new(percent)),
        };
        budget.allow(percent);
        let alike = before.filter(|before| before.service.connecting == service.connecting);
        let known: HashMap<EndpointId, &Origins> = alike
            .iter()
            .flat_map(|before| before.ends.iter().map(|end| (end.endpoint.id, &end.origins)))
            .collect();
        let end = |endpoint: &Arc<Endpoint>| End {
            origins: match known.get(&endpoint.id) {
                Some(origins) => (*origins).clone(),
                None => connect(endpoint),
            },
            endpoint: Arc::clone(endpoint),
        };
        Self {
            ends: service.endpoints().iter().map(end).collect(),
            service: Arc::clone(service),
            budget,
            clock,
            eligible: RefCell::default(),
        }
    }

    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The endpoint at `place`.
    pub fn end(&self, place: usize) -> &End {
        &self.ends[place]
    }

    /// Gives a request that began at `began` to an endpoint, another than those at the places in
    /// `tried` if there is one.
    ///
    /// # Errors
    /// Those of `Service::pick`.
    pub fn pick(
        self: &Rc<Self>,
        ask: &Ask,
        tried: &[usize],
        rng: &mut SmallRng,
        began: Instant,
    ) -> Result<InFlight, Reason> {
        let picked = self.service.pick(ask, tried, &mut self.eligible.borrow_mut(), rng)?;
        Ok(InFlight::new(self, picked, began))
    }

    /// Gives a request to the endpoint to which `own` has a connection, if that is eligible.
    pub fn pick_own(
        self: &Rc<Self>,
        own: &OwnPools,
        began: Instant,
        now: Millis,
    ) -> Option<InFlight> {
        let place = own.find(|id| self.ends.iter().position(|end| end.has(id)))?;
        Some(InFlight::new(self, self.service.pick_at(place, now)?, began))
    }

    /// Whether it is of use to come for an endpoint now.
    pub fn has_room(&self, now: Millis) -> bool {
        self.service.has_room(&mut self.eligible.borrow_mut(), now)
    }
}

impl End {
    /// Where the endpoint is asked by a request that says `host` to it.
    ///
    /// # Errors
    /// `upstream_tls` if no certificate can be for that host.
    #[inline]
    pub fn origin_for<'a>(
        &self,
        host: impl FnOnce() -> &'a [u8],
    ) -> Result<Rc<Origin>, ProxyError> {
        match &self.origins.by_name {
            None => Ok(Rc::clone(&self.origins.usual)),
            Some(names) => names.of(host()),
        }
    }

    /// Whether its certificate must be for what the client says: then a handshake that fails says
    /// nothing of the endpoint.
    pub fn is_asked_by_name(&self) -> bool {
        self.origins.by_name.is_some()
    }

    fn has(&self, id: OriginId) -> bool {
        self.origins.usual.id == id || self.origins.by_name.iter().any(|names| names.has(id))
    }

    /// Drops idle connections that are old or closed.
    pub(super) fn sweep(&self) {
        self.origins.usual.sweep();
        self.origins.by_name.iter().for_each(|names| names.sweep());
    }
}

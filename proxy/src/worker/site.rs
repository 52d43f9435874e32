//! A thread's half of a snapshot. A request takes the present one when it begins and keeps it to its
//! end, so that it ends by the settings by which it was routed, however often they change meanwhile.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use super::hop::{Hop, Origins};
use crate::{
    auth::{Authenticator, Parts, SharedScheme},
    clock::Deadlines,
    config::{CallConfig, PoolConfig},
    gateway::Gateway,
    ids::{SchemeId, ServiceId},
    rate_limit::SharedStore,
    service::{Endpoint, Service},
    upstream::{Dialing, NamedOrigins, call::Caller},
};

pub struct Site {
    pub gateway: Arc<Gateway>,
    /// By the place of the service.
    hops: Box<[Rc<Hop>]>,
    /// By the place of the scheme.
    schemes: Box<[Rc<Scheme>]>,
    /// `None` if no rate limit is shared with other processes.
    pub shared_limits: Option<Rc<SharedStore>>,
}

/// A thread's half of an auth scheme.
pub struct Scheme {
    pub shared: Arc<SharedScheme>,
    pub authenticator: Authenticator,
    caller: Option<Rc<Caller>>,
}

impl Site {
    /// What has not changed goes on from the site `before`.
    pub(super) fn build(
        gateway: Arc<Gateway>,
        dialing: &Rc<Dialing>,
        deadlines: &Rc<Deadlines>,
        before: Option<&Self>,
    ) -> Self {
        let known: HashMap<ServiceId, &Rc<Hop>> = before
            .iter()
            .flat_map(|before| &before.hops)
            .map(|hop| (hop.service.id, hop))
            .collect();
        let hop = |(place, service): (usize, &Arc<Service>)| {
            let before = known.get(&service.id);
            if let Some(same) = before.filter(|hop| Arc::ptr_eq(&hop.service, service)) {
                return Rc::clone(same);
            }
            let connect = |endpoint: &Endpoint| {
                let (address, pool) = (&endpoint.address, service.pool);
                let host = endpoint.tls.as_ref();
                let handshake = host.map(|host| gateway.connectors.handshake(place, host));
                let by_name = handshake.clone().filter(|handshake| handshake.is_of_request);
                let named = |handshake| NamedOrigins::new(dialing, address, handshake, pool);
                Origins {
                    usual: Rc::new(dialing.origin(address, handshake, pool)),
                    by_name: by_name.map(|handshake| Rc::new(named(handshake))),
                }
            };
            Rc::new(Hop::build(service, gateway.clock, before.map(|hop| &***hop), connect))
        };
        let hops = gateway.services().iter().enumerate().map(hop).collect();
        let known: HashMap<SchemeId, &Rc<Scheme>> = before
            .iter()
            .flat_map(|before| &before.schemes)
            .map(|one| (one.shared.id, one))
            .collect();
        let scheme = |(place, shared): (usize, &Arc<SharedScheme>)| {
            let before = known.get(&shared.id).filter(|one| Arc::ptr_eq(&one.shared, shared));
            let new = || Rc::new(Scheme::build(&gateway, place, shared, dialing, deadlines));
            before.map_or_else(new, |same| Rc::clone(same))
        };
        let schemes = gateway.schemes.iter().enumerate().map(scheme).collect();
        let shared_limits = before.and_then(|before| {
            let is_same = before.gateway.rate_limits.share_with(&gateway.rate_limits);
            before.shared_limits.clone().filter(|_| is_same)
        });
        let new_store = || SharedStore::new(&gateway.rate_limits).map(Rc::new);
        Self { hops, schemes, shared_limits: shared_limits.or_else(new_store), gateway }
    }

    /// A thread's half of the service at `place`.
    pub fn hop(&self, place: usize) -> &Rc<Hop> {
        &self.hops[place]
    }

    /// A thread's half of the scheme at `place`.
    pub fn scheme(&self, place: usize) -> &Scheme {
        &self.schemes[place]
    }

    pub(super) fn hops(&self) -> &[Rc<Hop>] {
        &self.hops
    }

    /// Does what is due whether or not there are requests.
    pub(super) fn sweep(&self) {
        self.hops.iter().flat_map(|hop| hop.ends()).for_each(|end| end.sweep());
        let now = self.gateway.clock.now();
        for scheme in &self.schemes {
            scheme.caller.iter().for_each(|caller| caller.sweep());
            scheme.authenticator.refresh(now);
        }
    }
}

impl Scheme {
    fn build(
        gateway: &Gateway,
        place: usize,
        shared: &Arc<SharedScheme>,
        dialing: &Dialing,
        deadlines: &Rc<Deadlines>,
    ) -> Self {
        let caller = shared.config.call().map(|CallConfig { url, .. }| {
            let host = url.endpoint.tls.as_ref();
            let handshake = host.map(|host| gateway.connectors.handshake_of_scheme(place, host));
            let pool = PoolConfig::default();
            let origin = dialing.uncounted_origin(&url.endpoint.address, handshake, pool);
            Rc::new(Caller::new(url, origin, deadlines))
        });
        let authenticator = Authenticator::new(&Parts {
            shared,
            caller: caller.as_ref(),
            passwords: &gateway.passwords,
            now: gateway.clock.now(),
        });
        Self { shared: Arc::clone(shared), authenticator, caller }
    }
}

#[cfg(test)]
impl Site {
    /// Of a configuration that says nothing.
    pub fn empty() -> Rc<Self> {
        let config = crate::config::Config::load("", "test", &|_| None).expect("is valid");
        Rc::new(Self {
            gateway: Arc::new(Gateway::build(&config, None)),
            hops: Box::default(),
            schemes: Box::default(),
            shared_limits: None,
        })
    }
}

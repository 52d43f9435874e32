//! Connections to endpoints that belong to one connection of a client, because an endpoint may know
//! them as that client's: NTLM and Negotiate log the connection in, not the request (RFC 4559 section
//! 4), and whoever comes over it next is served as who came before.
//!
//! Bounds: for each connection of a client 8 endpoints, and 2 idle connections to each; they end with it.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use super::{connection::Connection, origin::OriginId, pool::Pool};
use crate::config::PoolConfig;

const MOST_ENDPOINTS: usize = 8;
const MOST_IDLE: usize = 2;

#[derive(Default)]
pub struct OwnPools(RefCell<Vec<(OriginId, Rc<Pool>)>>);

/// Where a connection to an endpoint goes behind an answer.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    pub pool: &'a Rc<Pool>,
    /// Of the client's connection; `None` if nobody's can be kept.
    pub own: Option<(&'a OwnPools, OriginId)>,
}

impl OwnPools {
    /// An idle connection to the endpoint.
    pub fn take(&self, endpoint: OriginId) -> Option<Connection> {
        self.0.borrow().iter().find(|(known, _)| *known == endpoint)?.1.take()
    }

    /// What `place_of` makes of the endpoints to which the client has a connection of its own: of the
    /// first that it knows, the last used before the others.
    pub fn find(&self, place_of: impl Fn(OriginId) -> Option<usize>) -> Option<usize> {
        let pools = self.0.borrow();
        let open = pools.iter().rev().filter(|(_, pool)| !pool.is_empty());
        open.map(|(endpoint, _)| *endpoint).find_map(place_of)
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn of(&self, endpoint: OriginId) -> Rc<Pool> {
        let mut pools = self.0.borrow_mut();
        if let Some((_, known)) = pools.iter().find(|(known, _)| *known == endpoint) {
            return Rc::clone(known);
        }
        if pools.len() == MOST_ENDPOINTS {
            pools.remove(0);
        }
        let config = PoolConfig { max_idle: MOST_IDLE, max_age: None, ..PoolConfig::default() };
        let pool = Rc::new(Pool::new(config, None, Arc::default()));
        pools.push((endpoint, Rc::clone(&pool)));
        pool
    }
}

impl Home<'_> {
    /// Where a connection that some client owns is kept; `None` if nowhere.
    pub(super) fn of_owner(&self) -> Option<Rc<Pool>> {
        self.own.map(|(own, endpoint)| own.of(endpoint))
    }
}

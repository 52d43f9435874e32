//! Connections to endpoints that belong to one connection of a client, because an endpoint may know
//! them as that client's: NTLM and Negotiate log the connection in, not the request (RFC 4559 section
//! 4), and whoever comes over it next is served as who came before.
//!
//! Bounds: for each connection of a client 8 endpoints, and 2 idle connections to each; they end with it.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use super::{connection::Connection, pool::Pool};
use crate::{config::PoolConfig, record::Index};

const MOST_ENDPOINTS: usize = 8;
const MOST_IDLE: usize = 2;

#[derive(Default)]
pub struct OwnPools(RefCell<Vec<(Index, Rc<Pool>)>>);

/// Where a connection to an endpoint goes behind an answer.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    pub pool: &'a Rc<Pool>,
    /// Of the client's connection; `None` if nobody's can be kept.
    pub own: Option<(&'a OwnPools, Index)>,
}

impl OwnPools {
    /// An idle connection to the endpoint.
    pub fn take(&self, endpoint: Index) -> Option<Connection> {
        self.0.borrow().iter().find(|(index, _)| *index == endpoint)?.1.take()
    }

    /// The endpoint of those from `first` on, `count` of them, to which the client has a connection of
    /// its own.
    pub fn among(&self, first: Index, count: usize) -> Option<usize> {
        let pools = self.0.borrow();
        let places = pools.iter().rev().filter(|(_, pool)| !pool.is_empty());
        let mut places = places.filter_map(|(index, _)| Some(index.checked_sub(first)? as usize));
        places.find(|place| *place < count)
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn of(&self, endpoint: Index) -> Rc<Pool> {
        let mut pools = self.0.borrow_mut();
        if let Some((_, known)) = pools.iter().find(|(index, _)| *index == endpoint) {
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

//! One try at an endpoint, from the pick to the end of the answer: what it shows of the endpoint is
//! reported once, whatever becomes of the request.

use std::rc::Rc;

use actix_http::StatusCode;
use tokio::time::Instant;

use super::{Picked, Service, breaker::Admission};
use crate::{error::Reason, record::Index, worker::Worker};

/// Counts as a request in flight to its endpoint until dropped.
pub struct InFlight {
    worker: Rc<Worker>,
    service: Index,
    place: usize,
    /// `None` once the outcome is reported.
    admission: Option<Admission>,
    began: Instant,
    is_answered: bool,
}

/// A place in a service that limits its requests, given back when dropped.
pub struct Permit {
    worker: Rc<Worker>,
    service: Index,
}

impl InFlight {
    pub fn begin(worker: &Rc<Worker>, service: &Service, picked: Picked, began: Instant) -> Self {
        service.endpoint(picked.place).load.start();
        Self {
            worker: Rc::clone(worker),
            service: service.index,
            place: picked.place,
            admission: Some(picked.admission),
            began,
            is_answered: false,
        }
    }

    /// The response head has come. That all is well is said at the end of the body.
    pub fn answered(&mut self, status: StatusCode) {
        self.is_answered = true;
        let failed = status.is_server_error();
        if self.service().times_answers {
            self.observe(failed);
        }
        if failed {
            self.report(true);
        }
    }

    /// There is no answer.
    pub fn failed(&mut self, reason: Reason) {
        if is_endpoints_fault(reason) {
            if self.service().times_answers {
                self.observe(true);
            }
            self.report(true);
        }
    }

    /// The answer has ended, for `reason` if not by itself.
    pub fn ended(mut self, reason: Option<Reason>) {
        if self.is_answered {
            self.report(reason.is_some_and(is_endpoints_fault));
        }
    }

    fn service(&self) -> &Service {
        self.worker.gateway.service(self.service)
    }

    fn observe(&self, failed: bool) {
        let took = self.began.elapsed().as_micros();
        let latency_us = u32::try_from(took).unwrap_or(u32::MAX);
        self.service().observe(self.place, self.worker.gateway.now(), latency_us, failed);
    }

    fn report(&mut self, failed: bool) {
        if let Some(admission) = self.admission.take() {
            let gateway = &self.worker.gateway;
            gateway.service(self.service).report(self.place, admission, failed, || gateway.now());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_answered {
            self.report(false);
        }
        let service = self.service();
        service.endpoint(self.place).load.finish();
        if let Some(limits) = &service.limits {
            limits.endpoint_released();
        }
    }
}

impl Permit {
    /// For a place that was got.
    pub fn new(worker: &Rc<Worker>, service: Index) -> Self {
        Self { worker: Rc::clone(worker), service }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limits) = &self.worker.gateway.service(self.service).limits {
            limits.release();
        }
    }
}

/// Whether the endpoint is to blame, not the client or the proxy.
fn is_endpoints_fault(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ConnectFailed
            | Reason::ConnectionRefused
            | Reason::ConnectTimeout
            | Reason::NameUnresolved
            | Reason::UpstreamReset
            | Reason::UpstreamProtocol
            | Reason::ResponseTimeout
            | Reason::IdleTimeout
            | Reason::TotalTimeout
    )
}

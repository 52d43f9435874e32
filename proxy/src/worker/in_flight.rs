//! One try at an endpoint, from the pick to the end of the answer: what it shows of the endpoint is
//! reported once, whatever becomes of the request. It holds what it counts on, so that it ends where it
//! began however the configuration changes meanwhile.

use std::{net::IpAddr, rc::Rc};

use actix_http::StatusCode;
use tokio::time::Instant;

use super::hop::Hop;
use crate::{
    error::Reason,
    service::{Endpoint, Picked, breaker::Admission, outlier::Asker},
};

/// Counts as a request in flight to its endpoint until dropped.
pub struct InFlight {
    hop: Rc<Hop>,
    place: usize,
    /// `None` once the outcome is reported.
    admission: Option<Admission>,
    began: Instant,
    is_answered: bool,
    client: Option<IpAddr>,
}

/// A place in a service that limits its requests, given back when dropped.
pub struct Permit(Rc<Hop>);

impl InFlight {
    /// For a request that its endpoint's load counts already.
    pub(super) fn new(hop: &Rc<Hop>, picked: Picked, began: Instant) -> Self {
        let Picked { place, admission } = picked;
        let (hop, admission) = (Rc::clone(hop), Some(admission));
        Self { hop, place, admission, began, is_answered: false, client: None }
    }

    /// Says whose request it is, before it ends.
    pub fn asked_by(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    /// Of the endpoint, in its service.
    pub fn place(&self) -> usize {
        self.place
    }

    pub fn endpoint(&self) -> &Endpoint {
        self.hop.service.endpoint(self.place)
    }

    /// The response head has come, to a request that had gone out at `sent_at`. That all is well is
    /// said at the end of the body; a breaker's trial does not wait for it, nor do those who have
    /// switched protocols.
    pub fn answered(&mut self, status: StatusCode, sent_at: Option<Instant>) {
        self.is_answered = true;
        let failed = status.is_server_error();
        self.observe(sent_at.unwrap_or(self.began), failed);
        let is_trial = matches!(self.admission, Some(Admission::Trial(_)));
        if failed || is_trial || status == StatusCode::SWITCHING_PROTOCOLS {
            self.report(failed, Asker::Client(self.client));
        }
    }

    /// There is no answer.
    pub fn failed(&mut self, reason: Reason) {
        if is_endpoints_fault(reason) {
            self.observe(self.began, true);
            self.report(true, Asker::Anybody);
        }
    }

    /// The answer has ended, for `reason` if not by itself.
    pub fn ended(mut self, reason: Option<Reason>) {
        if self.is_answered {
            self.report(reason.is_some_and(is_endpoints_fault), Asker::Anybody);
        }
    }

    fn observe(&self, since: Instant, failed: bool) {
        let Hop { service, clock, .. } = &*self.hop;
        if service.times_answers {
            let latency_us = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
            service.observe(self.place, clock.now(), latency_us, failed);
        }
    }

    fn report(&mut self, failed: bool, asker: Asker) {
        if let Some(admission) = self.admission.take() {
            let Hop { service, clock, .. } = &*self.hop;
            service.report(self.place, admission, failed, asker, || clock.now());
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_answered {
            self.report(false, Asker::Anybody);
        }
        if let Some(admission) = self.admission.take() {
            self.hop.service.forget(self.place, admission);
        }
        self.hop.service.finish(self.place);
    }
}

impl Permit {
    /// For a place that was got.
    pub fn new(hop: &Rc<Hop>) -> Self {
        Self(Rc::clone(hop))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(limits) = self.0.service.limits() {
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
            | Reason::UpstreamTls
            | Reason::UpstreamProtocol
            | Reason::ResponseTimeout
            | Reason::IdleTimeout
    )
}

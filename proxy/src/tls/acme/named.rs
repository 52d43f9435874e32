//! One name: what the files say of its certificate, and what follows from it.

use std::time::{Duration, SystemTime};

use super::{
    certificate::{BadCertificate, Kept, inspect},
    decide::{Known, Next, decide},
    failure::Failure,
    renewal_info::Advice,
    state::{self, Lock, State, StateError},
};
use crate::{config::AcmeConfig, error::chain};

pub(super) struct Named {
    pub(super) name: String,
    /// From 0 to 1: where in its time this process renews it.
    pub(super) spread: f64,
    certificate: Certificate,
    failure: Option<Failure>,
    /// Whether the failure stands in no file: then what the file says is nothing.
    is_failure_unwritten: bool,
    /// When this process ordered it.
    ordered: Option<SystemTime>,
    advice: Option<Advice>,
}

enum Certificate {
    None,
    Bad(BadCertificate),
    /// It is good, but was ordered from another CA than the one this process began with.
    Foreign,
    Good(Kept),
}

impl Named {
    pub(super) fn new(name: String, spread: f64) -> Self {
        Self {
            name,
            spread,
            certificate: Certificate::None,
            failure: None,
            is_failure_unwritten: false,
            ordered: None,
            advice: None,
        }
    }

    /// Looks at the files. That a certificate is from another CA counts when the process begins,
    /// for a configuration that names another one now; later it was ordered by another process, and
    /// two with different configurations would order for ever.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub(super) fn look(
        &mut self,
        state: &State,
        config: &AcmeConfig,
        now: SystemTime,
        is_first: bool,
    ) -> Result<(), StateError> {
        let found = state::read(&state.certificate(&self.name))?;
        self.certificate = match found.map(|text| inspect(&text, &self.name)) {
            None => Certificate::None,
            Some(Err(error)) => Certificate::Bad(error),
            Some(Ok(kept)) => {
                let was_foreign = matches!(self.certificate, Certificate::Foreign);
                let is_from = |directory: &String| *directory == config.directory;
                if !kept.directory.as_ref().is_none_or(is_from) && (is_first || was_foreign) {
                    Certificate::Foreign
                } else {
                    Certificate::Good(kept)
                }
            }
        };
        if !self.is_failure_unwritten {
            let found = state::read(&state.failure(&self.name))?;
            self.failure = found.and_then(|text| Failure::read(&text, config, now));
        }
        Ok(())
    }

    /// What is to be done, from what was seen last.
    pub(super) fn next(&self, now: SystemTime) -> Next {
        let certificate = match &self.certificate {
            Certificate::Good(kept) => Some(kept),
            Certificate::None | Certificate::Bad(_) | Certificate::Foreign => None,
        };
        let advice = certificate.and_then(|kept| self.advice_on(kept));
        let known = Known {
            certificate: certificate.map(|kept| kept.validity),
            suggested: advice.and_then(|advice| advice.renew_at),
            ordered: self.ordered,
            retry: self.failure.as_ref().map(Failure::retry_at),
        };
        decide(&known, now, self.spread)
    }

    fn advice_on(&self, kept: &Kept) -> Option<&Advice> {
        self.advice.as_ref().filter(|advice| advice.of == kept.leaf)
    }

    /// The certificate that the CA should be asked about: good, and not asked about for a while.
    pub(super) fn to_ask_about(&self, now: SystemTime) -> Option<&Kept> {
        let Certificate::Good(kept) = &self.certificate else { return None };
        let is_known = self.advice_on(kept).is_some_and(|advice| advice.ask_again > now);
        (!is_known).then_some(kept)
    }

    pub(super) fn advise(&mut self, advice: Advice) {
        self.advice = Some(advice);
    }

    /// The failure that keeps it from being ordered, and for how long.
    pub(super) fn waits(&self, now: SystemTime) -> Option<(&Failure, Duration)> {
        let failure = self.failure.as_ref()?;
        let pause = failure.retry_at().duration_since(now).ok()?;
        Some((failure, pause))
    }

    /// Failures in a row so far.
    pub(super) fn failures(&self) -> u32 {
        self.failure.as_ref().map_or(0, |failure| failure.failures)
    }

    /// Keeps a failure, in memory if it cannot be written.
    pub(super) fn failed(&mut self, failure: Failure, state: &State, lock: &Lock) {
        let written = lock.write(&state.failure(&self.name), failure.text().as_bytes());
        self.is_failure_unwritten = written.is_err();
        self.failure = Some(failure);
    }

    /// Keeps a certificate in the place of the old one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn renewed(
        &mut self,
        text: &str,
        kept: Kept,
        now: SystemTime,
        state: &State,
        lock: &Lock,
    ) -> Result<(), StateError> {
        lock.write(&state.certificate(&self.name), text.as_bytes())?;
        self.certificate = Certificate::Good(kept);
        self.ordered = Some(now);
        (self.failure, self.is_failure_unwritten) = (None, false);
        // If it stays, its time is over before the next renewal.
        let _ = lock.remove(&state.failure(&self.name));
        Ok(())
    }

    /// Why it is ordered.
    pub(super) fn why(&self) -> String {
        match &self.certificate {
            Certificate::None => "there is no certificate".to_owned(),
            Certificate::Bad(error) => {
                format!("the certificate cannot be served: {}", chain(error))
            }
            Certificate::Foreign => "the certificate is from another CA".to_owned(),
            Certificate::Good(_) => "the certificate is to be renewed".to_owned(),
        }
    }
}

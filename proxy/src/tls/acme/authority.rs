//! The real CA: what `rounds.rs` asks for, with an end to everything.

use std::time::SystemTime;

use instant_acme::Account;
use tokio::time::timeout;

use super::{
    account,
    certificate::Kept,
    error::AcmeError,
    order::{self, Issued},
    renewal_info::{self, Advice},
    rounds::Authority,
    state::{Lock, State},
};
use crate::config::AcmeConfig;

pub(super) struct Ca {
    pub(super) config: AcmeConfig,
}

impl Authority for Ca {
    type Account = Account;

    async fn open(&self, state: &State, lock: &Lock) -> Result<Account, AcmeError> {
        let opened = timeout(account::PATIENCE, account::open(&self.config, state, lock)).await;
        opened.unwrap_or(Err(AcmeError::TooLong(account::PATIENCE)))
    }

    async fn order(&self, account: &Account, name: &str, lock: &Lock) -> Result<Issued, AcmeError> {
        let ordered =
            timeout(order::PATIENCE, order::order(account, &self.config, name, lock)).await;
        ordered.unwrap_or(Err(AcmeError::TooLong(order::PATIENCE)))
    }

    async fn advise(&self, state: &State, certificates: &[(Kept, f64)]) -> Vec<Advice> {
        let now = SystemTime::now();
        let nothing = |(kept, _): &(Kept, f64)| Advice::none(kept.leaf.clone(), now);
        let kept = timeout(account::PATIENCE, account::kept(&self.config, state)).await;
        let Ok(Ok(Some(account))) = kept else {
            return certificates.iter().map(nothing).collect();
        };
        let mut advices = Vec::new();
        for (kept, spread) in certificates {
            match renewal_info::ask(&account, &kept.leaf, now, *spread).await {
                Ok(advice) => advices.push(advice),
                Err(error) => {
                    tracing::debug!(error = error.text(), "acme renewal information not reached");
                    break;
                }
            }
        }
        advices.extend(certificates[advices.len()..].iter().map(nothing));
        advices
    }
}

//! The account at the CA: the one that is kept, or a new one.

use std::time::Duration;

use instant_acme::{Account, AccountCredentials, NewAccount};

use super::{
    error::AcmeError,
    http::AwcClient,
    state::{self, Lock, State},
    trust,
};
use crate::config::AcmeConfig;

const ACCOUNT: &str = "the account";
/// Directory, nonce and account are three requests.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The account that is kept, if it is one at the CA that is configured.
///
/// # Errors
/// The file cannot be read, the CA not be reached.
pub(super) async fn kept(config: &AcmeConfig, state: &State) -> Result<Option<Account>, AcmeError> {
    let Some(text) = state::read(&state.account())? else { return Ok(None) };
    let Some(credentials) = credentials(&text, &config.directory) else { return Ok(None) };
    let opened = Account::builder_with_http(http(config)?).from_credentials(credentials).await;
    opened.map(Some).map_err(|error| AcmeError::of(ACCOUNT, error))
}

/// The account that is kept, or one that is made and kept now. Its terms of service are agreed to:
/// the documents say so.
///
/// # Errors
/// The CA cannot be reached or refuses; the account cannot be kept.
pub(super) async fn open(
    config: &AcmeConfig,
    state: &State,
    lock: &Lock,
) -> Result<Account, AcmeError> {
    if let Some(account) = kept(config, state).await? {
        return Ok(account);
    }
    let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let account = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let builder = Account::builder_with_http(http(config)?);
    let made = builder.create(&account, config.directory.clone(), None).await;
    let (account, credentials) = made.map_err(|error| AcmeError::of(ACCOUNT, error))?;
    let text = serde_json::to_vec_pretty(&credentials)
        .map_err(|source| AcmeError::Protocol { what: ACCOUNT, source: source.into() })?;
    lock.write(&state.account(), &text)?;
    tracing::info!(account = account.id(), directory = config.directory, "acme account made");
    Ok(account)
}

fn http(config: &AcmeConfig) -> Result<Box<AwcClient>, AcmeError> {
    Ok(Box::new(AwcClient::start(trust::client_config(config.ca.as_ref())?)))
}

/// `None` for what is no account at `directory`: another CA does not know it.
fn credentials(text: &[u8], directory: &str) -> Option<AccountCredentials> {
    let fields: serde_json::Value = serde_json::from_slice(text).ok()?;
    if fields.get("directory")?.as_str()? != directory {
        return None;
    }
    serde_json::from_value(fields).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = r#"{"id": "https://ca.test/account/1", "directory": "https://ca.test/dir",
        "key_pkcs8": "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"}"#;

    #[test]
    fn an_account_is_used_at_its_own_ca_alone() {
        assert!(credentials(KEPT.as_bytes(), "https://ca.test/dir").is_some());
        assert!(credentials(KEPT.as_bytes(), "https://other.test/dir").is_none());
        assert!(credentials(b"{}", "https://ca.test/dir").is_none());
        assert!(credentials(&KEPT.as_bytes()[..40], "https://ca.test/dir").is_none());
    }
}

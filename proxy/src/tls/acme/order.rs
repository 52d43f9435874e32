//! One order, from its beginning to the certificate (RFC 8555 section 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio::time::sleep;

use super::{
    error::{AcmeError, Refusal},
    failure::challenge_word,
    state::{Lock, Placed},
    token::Token,
};
use crate::config::{AcmeChallenge, AcmeConfig};

/// For all of an order.
pub(super) const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// For the CA to validate, and for it to issue: asked after 0.5 s, then ever more rarely.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
/// Tries to fetch what is issued; all of them within `PATIENCE`.
const DOWNLOADS: u32 = 5;
const BETWEEN_DOWNLOADS: Duration = Duration::from_secs(2);
/// Every process that shares the state looks for certificates of challenges once a second.
const SEEN_BY_ALL: Duration = Duration::from_millis(2500);

const AUTHORIZATION: &str = "the authorization";

/// What a CA issues, in PEM.
pub(super) struct Issued {
    /// The private key, made for this certificate alone.
    pub(super) key: String,
    pub(super) chain: String,
}

/// # Errors
/// The CA does not issue; why, in its own words.
pub(super) async fn order(
    account: &Account,
    config: &AcmeConfig,
    name: &str,
    lock: &Lock,
) -> Result<Issued, AcmeError> {
    let identifiers = [Identifier::Dns(name.to_owned())];
    let begun = account.new_order(&NewOrder::new(&identifiers)).await;
    let mut order = begun.map_err(|error| AcmeError::of("the order", error))?;
    let answers = answer_challenges(&mut order, config.challenge, name, lock).await?;
    wait_until_ready(&mut order).await?;
    drop(answers);
    let key = order.finalize().await;
    let key = key.map_err(|error| AcmeError::of("the request for a certificate", error))?;
    Ok(Issued { key, chain: download(&mut order).await? })
}

/// From here on the CA may have issued, and the key is nowhere else: what passes is waited for, or
/// the certificate would be lost, of which CAs give few.
async fn download(order: &mut Order) -> Result<String, AcmeError> {
    let mut tries_left = DOWNLOADS;
    loop {
        tries_left -= 1;
        let chain = order.poll_certificate(&POLLS).await;
        match chain.map_err(|error| AcmeError::of("the certificate", error)) {
            Err(error) if tries_left > 0 && error.may_pass() => sleep(BETWEEN_DOWNLOADS).await,
            ended => return ended,
        }
    }
}

/// Puts the answers where they are seen, and tells the CA so. They go with what is returned.
async fn answer_challenges(
    order: &mut Order,
    challenge: AcmeChallenge,
    name: &str,
    lock: &Lock,
) -> Result<Vec<Placed>, AcmeError> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization.map_err(|error| AcmeError::of(AUTHORIZATION, error))?;
        // What was validated a short time ago need not be again; of what is neither, the order
        // will say why.
        if authorization.status == AuthorizationStatus::Pending {
            answers.push(answer(authorization, challenge, name, lock).await?);
        }
    }
    Ok(answers)
}

async fn answer(
    mut authorization: AuthorizationHandle<'_>,
    challenge: AcmeChallenge,
    name: &str,
    lock: &Lock,
) -> Result<Placed, AcmeError> {
    let wanted = match challenge {
        AcmeChallenge::Http01 => ChallengeType::Http01,
        AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let offered: Vec<String> =
        authorization.challenges.iter().map(|one| word(&one.r#type)).collect();
    let Some(mut handle) = authorization.challenge(wanted) else {
        return Err(AcmeError::NoSuchChallenge { wanted: challenge_word(challenge), offered });
    };
    let answer = handle.key_authorization();
    let placed = match challenge {
        AcmeChallenge::Http01 => {
            let token = Token::parse(&handle.token).ok_or(AcmeError::BadToken)?;
            lock.place_http(token, answer.as_str())?
        }
        AcmeChallenge::TlsAlpn01 => {
            lock.place_alpn(name, &alpn_pem(name, answer.digest().as_ref())?)?
        }
    };
    // By those too who share the folder.
    sleep(SEEN_BY_ALL).await;
    handle.set_ready().await.map_err(|error| AcmeError::of("the challenge", error))?;
    Ok(placed)
}

fn word(kind: &ChallengeType) -> String {
    match kind {
        ChallengeType::Http01 => challenge_word(AcmeChallenge::Http01).to_owned(),
        ChallengeType::TlsAlpn01 => challenge_word(AcmeChallenge::TlsAlpn01).to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::Unknown(other) => other.clone(),
        other => format!("{other:?}"),
    }
}

/// The certificate that answers TLS-ALPN-01, with its key: for the name alone, signed by itself,
/// with the digest of the key authorization (RFC 8737 section 3).
fn alpn_pem(name: &str, digest: &[u8]) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    Ok(key.serialize_pem() + &certificate.pem())
}

async fn wait_until_ready(order: &mut Order) -> Result<(), AcmeError> {
    match order.poll_ready(&POLLS).await {
        Ok(OrderStatus::Ready) => Ok(()),
        Ok(_) => Err(why_invalid(order).await.unwrap_or(AcmeError::NoReason)),
        Err(error @ instant_acme::Error::Api(_)) => {
            let of_order = AcmeError::of("the order", error);
            Err(why_invalid(order).await.unwrap_or(of_order))
        }
        Err(error) => Err(AcmeError::of("the validation", error)),
    }
}

/// What the CA says of the challenges that it has tried: the order itself says less.
async fn why_invalid(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let mut problems = state.challenges.iter().filter_map(|one| one.error.as_ref());
        if let Some(problem) = problems.next() {
            return Some(AcmeError::NotValidated(Refusal::new(
                problem.status.unwrap_or_default(),
                problem,
                None,
            )));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    #[test]
    fn the_certificate_of_a_challenge_is_for_the_name_alone_and_critical() {
        let digest = [7; 32];
        let pem = alpn_pem("a.test", &digest).expect("can be made");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("is PEM");
        let key = KeyPair::from_pem(&pem).expect("has a key");
        let (_, certificate) = X509Certificate::from_der(&der).expect("is X.509");
        assert_eq!(certificate.public_key().subject_public_key.data, key.public_key_raw());
        let names = certificate.subject_alternative_name().expect("is read").expect("is there");
        assert_eq!(names.value.general_names.len(), 1);
        let extensions = certificate.extensions().iter();
        let acme = extensions.filter(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let acme: Vec<_> = acme.collect();
        let [acme] = &acme[..] else { panic!("{acme:?}") };
        assert!(acme.critical);
        assert_eq!(acme.value, [&[4, 32], &digest[..]].concat(), "an OCTET STRING of 32 bytes");
    }
}

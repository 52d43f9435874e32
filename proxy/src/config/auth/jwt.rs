//! `type = "jwt"` (RFC 7519).

use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, errors::Error};

use super::claims::{ClaimFields, Required};
use crate::config::{
    call_url::CallConfig,
    duration::Within,
    error::{Located, Problem},
    secret::Secret,
    section::Section,
    value::{FromText, OneOrMore, OrOff, unknown_word},
};

/// A clock that is further off than this is broken.
const MOST_LEEWAY_MS: u64 = 600_000;
/// Shortest HMAC secret, in bytes (RFC 7518 section 3.2, for HS256).
const SHORTEST_SECRET: usize = 32;

#[derive(Clone, Debug)]
pub struct JwtConfig {
    pub keys: JwtKeys,
    /// Never empty, and all of the kind that `keys` are for.
    pub algorithms: Vec<Algorithm>,
    /// One of them must be `iss`; never empty.
    pub issuers: Vec<String>,
    /// One of them must be in `aud`; `None`: it is not looked at.
    pub audiences: Option<Vec<String>>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    pub required: Required,
    pub fields: ClaimFields,
}

/// What signatures are checked with.
#[derive(Clone, Debug)]
pub enum JwtKeys {
    /// A key set that is fetched (RFC 7517).
    Set(Box<CallConfig>),
    /// In the configuration: a public one for each family of algorithms, or a shared secret.
    Here(Vec<DecodingKey>),
}

impl JwtConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let algorithms = section.require::<OneOrMore<AlgorithmName>>("algorithms");
        let algorithms = algorithms.map(|names| names.value.0).unwrap_or_default();
        let keys = read_keys(section, &algorithms);
        let issuers = section.require::<OneOrMore<String>>("issuer");
        let audiences = section.require::<OrOff<OneOrMore<String>>>("audience");
        let leeway = Within::<0, MOST_LEEWAY_MS>(Duration::from_secs(60));
        let leeway = section.or("leeway", leeway).0;
        let required = Required::read_scheme(section);
        let fields = ClaimFields::read(section);
        for key in ["algorithms", "issuer", "audience"] {
            if section.is_empty_array(key) {
                let problem = Problem::new(format!("\"{key}\" is empty"));
                section.report(&section.key_span(key), problem);
            }
        }
        let texts = |list: OneOrMore<String>| list.0.into_iter().map(|text| text.value).collect();
        Some(Self {
            keys: keys?,
            algorithms: algorithms.into_iter().map(|name| name.value.0).collect(),
            issuers: texts(issuers?.value),
            audiences: audiences?.value.0.map(texts),
            leeway,
            required,
            fields,
        })
    }
}

/// Just one of three.
fn read_keys(section: &mut Section<'_>, algorithms: &[Located<AlgorithmName>]) -> Option<JwtKeys> {
    let set = CallConfig::read(section, "jwks_url");
    let public = section.get::<Secret>("public_key");
    let shared = section.get::<Secret>("secret");
    let given = ["jwks_url", "public_key", "secret"].iter().filter(|key| section.has(key)).count();
    if given != 1 {
        let message =
            format!("{} needs one of \"jwks_url\", \"public_key\" or \"secret\"", section.title());
        section.report(&section.span, Problem::new(message));
        return None;
    }
    if section.has("tls") && !section.has("jwks_url") {
        let problem = Problem::new("\"tls\" is for \"jwks_url\"");
        section.report(&section.key_span("tls"), problem);
    }
    check_algorithms(section, section.has("secret"), algorithms);
    if let Some(set) = set {
        return Some(JwtKeys::Set(Box::new(set)));
    }
    if let Some(secret) = shared {
        if secret.value.reveal().len() < SHORTEST_SECRET {
            let message = format!("a secret needs {SHORTEST_SECRET} bytes or more");
            let problem = Problem::new(message).hint("for example from: openssl rand -base64 48");
            section.report(&secret.span, problem);
        }
        let key = DecodingKey::from_secret(secret.value.reveal().as_bytes());
        return Some(JwtKeys::Here(vec![key]));
    }
    let public = public?;
    if public.value.reveal().contains("PRIVATE KEY-----") {
        let problem = Problem::new("\"public_key\" is a private key: whoever reads it can sign");
        section.report(&public.span, problem.hint("it need not leave the issuer"));
        return None;
    }
    let mut keys = Vec::<DecodingKey>::new();
    for algorithm in algorithms.iter().map(|name| name.value.0) {
        if keys.iter().any(|known| known.family() == algorithm.family()) {
            continue;
        }
        match public_key(public.value.reveal().as_bytes(), algorithm) {
            Ok(key) => keys.push(key),
            Err(_) => {
                let message =
                    format!("\"public_key\" is not a public key in PEM for {algorithm:?}");
                let problem =
                    Problem::new(message).hint("-----BEGIN PUBLIC KEY-----, or { file = \"…\" }");
                section.report(&public.span, problem);
                return None;
            }
        }
    }
    Some(JwtKeys::Here(keys))
}

fn public_key(pem: &[u8], algorithm: Algorithm) -> Result<DecodingKey, Error> {
    match algorithm.family() {
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        AlgorithmFamily::Hmac => Err(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat.into()),
    }
}

/// A public key that is taken for a secret lets everybody sign.
fn check_algorithms(section: &Section<'_>, is_shared: bool, algorithms: &[Located<AlgorithmName>]) {
    for algorithm in algorithms {
        if algorithm.value.is_symmetric() != is_shared {
            let message = if is_shared {
                "a secret is for HS256, HS384 and HS512 alone"
            } else {
                "HS256, HS384 and HS512 need a \"secret\""
            };
            section.report(&algorithm.span, Problem::new(message));
        }
    }
}

struct AlgorithmName(Algorithm);

impl AlgorithmName {
    fn is_symmetric(&self) -> bool {
        matches!(self.0, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
    }
}

impl FromText for AlgorithmName {
    const EXPECTED: &'static str = "an algorithm such as \"RS256\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let known = [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
            "HS256", "HS384", "HS512",
        ];
        if !known.contains(&text) {
            return Err(unknown_word(text, &known));
        }
        text.parse().map(Self).map_err(|_| unknown_word(text, &known))
    }
}

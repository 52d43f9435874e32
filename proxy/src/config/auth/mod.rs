//! `[auth_schemes.…]`: the ways a client can prove who it is. One file a type.

mod api_key;
mod basic;
mod claims;
mod failures;
mod forward;
mod introspection;
mod jwt;
mod keys;
mod mtls;

pub(super) use self::keys::check_token;
pub use self::{
    api_key::{ApiKeyConfig, KeyPlace},
    basic::{BasicConfig, PasswordHash, User},
    claims::{ClaimFields, ClaimValue, Required},
    failures::FailureLimit,
    forward::ForwardConfig,
    introspection::IntrospectionConfig,
    jwt::{JwtConfig, JwtKeys},
    keys::{KnownKey, KnownKeys},
    mtls::{CertificateName, MtlsConfig},
};
use super::{
    call_url::CallConfig,
    error::{Located, Problem},
    fingerprint::Fingerprint,
    name_index::NameIndex,
    section::Section,
    services::check_name,
    value::unknown_word,
};

pub(super) const TYPES: [&str; 8] =
    ["bearer", "api_key", "basic", "jwt", "introspection", "forward", "mtls", "any"];

/// One scheme.
#[derive(Clone, Debug)]
pub struct SchemeConfig {
    pub name: String,
    pub kind: AuthScheme,
    /// How many wrong guesses a client has; `None`: as many as it likes.
    pub failures: Option<FailureLimit>,
    /// Of all that stands in its section.
    pub fingerprint: Fingerprint,
}

#[derive(Clone, Debug)]
pub enum AuthScheme {
    Bearer(KnownKeys),
    ApiKey(ApiKeyConfig),
    Basic(BasicConfig),
    Jwt(JwtConfig),
    Introspection(IntrospectionConfig),
    Forward(ForwardConfig),
    Mtls(MtlsConfig),
    /// The first that lets the client in decides: indexes of schemes, none of which is `any`.
    Any(Vec<usize>),
}

/// What a route must know of a scheme.
pub(super) struct SchemeUse {
    /// Whether it knows more of a client than a name.
    pub(super) has_claims: bool,
}

impl SchemeConfig {
    /// All schemes by name; `None` for one that is wrong and reported: its name still counts as
    /// known.
    pub(super) fn read_all(
        sections: Vec<(Located<String>, Section<'_>)>,
    ) -> Vec<(String, Option<Self>)> {
        let names = sections.iter().map(|(name, section)| (name.value.clone(), is_any(section)));
        let names = NameIndex::new(names);
        let read = sections.into_iter().map(|(name, section)| {
            check_scheme_name(&name, &section);
            let scheme = Self::read(&name.value, section, &names);
            (name.value, scheme)
        });
        read.collect()
    }

    fn read(name: &str, mut section: Section<'_>, names: &NameIndex<bool>) -> Option<Self> {
        let word = section.require::<String>("type")?;
        let kind = match word.value.as_str() {
            "bearer" => KnownKeys::read_tokens(&mut section).map(AuthScheme::Bearer),
            "api_key" => ApiKeyConfig::read(&mut section).map(AuthScheme::ApiKey),
            "basic" => BasicConfig::read(&mut section).map(AuthScheme::Basic),
            "jwt" => JwtConfig::read(&mut section).map(AuthScheme::Jwt),
            "introspection" => {
                IntrospectionConfig::read(&mut section).map(AuthScheme::Introspection)
            }
            "forward" => ForwardConfig::read(&mut section).map(AuthScheme::Forward),
            "mtls" => MtlsConfig::read(&mut section).map(AuthScheme::Mtls),
            "any" => read_any(&mut section, names).map(AuthScheme::Any),
            other => {
                section.report(&word.span, unknown_word(other, &TYPES));
                return None;
            }
        };
        let failures = FailureLimit::read(&mut section, word.value.as_str());
        let fingerprint = section.fingerprint();
        section.finish();
        Some(Self { name: name.to_owned(), kind: kind?, failures, fingerprint })
    }

    /// What routes may name.
    pub(super) fn names(all: &[(String, Option<Self>)]) -> NameIndex<SchemeUse> {
        NameIndex::new(all.iter().map(|(name, scheme)| {
            (name.clone(), SchemeUse { has_claims: Self::has_claims(scheme.as_ref(), all) })
        }))
    }

    /// `None` is one that was reported.
    fn has_claims(scheme: Option<&Self>, all: &[(String, Option<Self>)]) -> bool {
        scheme.is_none_or(|scheme| match &scheme.kind {
            AuthScheme::Jwt(_) | AuthScheme::Introspection(_) => true,
            AuthScheme::Any(schemes) => {
                schemes.iter().any(|index| Self::has_claims(all[*index].1.as_ref(), all))
            }
            AuthScheme::Bearer(_)
            | AuthScheme::ApiKey(_)
            | AuthScheme::Basic(_)
            | AuthScheme::Forward(_)
            | AuthScheme::Mtls(_) => false,
        })
    }

    /// Whom the scheme asks, if it asks anybody.
    pub fn call(&self) -> Option<&CallConfig> {
        match &self.kind {
            AuthScheme::Jwt(JwtConfig { keys: JwtKeys::Set(call), .. }) => Some(call.as_ref()),
            AuthScheme::Introspection(introspection) => Some(&introspection.call),
            AuthScheme::Forward(forward) => Some(&forward.call),
            AuthScheme::Jwt(_)
            | AuthScheme::Bearer(_)
            | AuthScheme::ApiKey(_)
            | AuthScheme::Basic(_)
            | AuthScheme::Mtls(_)
            | AuthScheme::Any(_) => None,
        }
    }

    /// The fields that the upstream learns from this scheme alone.
    pub fn fields(&self) -> Vec<actix_http::header::HeaderName> {
        match &self.kind {
            AuthScheme::Jwt(jwt) => jwt.fields.names(),
            AuthScheme::Introspection(introspection) => introspection.fields.names(),
            AuthScheme::Forward(forward) => forward.copy_headers.clone(),
            AuthScheme::Bearer(_)
            | AuthScheme::ApiKey(_)
            | AuthScheme::Basic(_)
            | AuthScheme::Mtls(_)
            | AuthScheme::Any(_) => Vec::new(),
        }
    }
}

fn is_any(section: &Section<'_>) -> bool {
    section.peek_text("type") == Some("any")
}

/// `schemes`: others by name, in the order in which they are tried.
fn read_any(section: &mut Section<'_>, names: &NameIndex<bool>) -> Option<Vec<usize>> {
    let schemes = section.require::<Vec<Located<String>>>("schemes")?;
    if section.is_empty_array("schemes") {
        section.report(&schemes.span, Problem::new("\"schemes\" names no scheme"));
    }
    let mut found = Vec::new();
    for name in &schemes.value {
        match names.find(&name.value) {
            Some(index) if *names.at(index) => {
                let message = format!("\"{}\" is \"any\" itself", name.value);
                let problem = Problem::new(message).hint("name the schemes that it names");
                section.report(&name.span, problem);
            }
            Some(index) => found.push(index),
            None => {
                let mut problem = Problem::new(format!("unknown auth scheme \"{}\"", name.value));
                problem.hint = names.suggest(&name.value);
                section.report(&name.span, problem);
            }
        }
    }
    Some(found)
}

/// "none" lets everybody in: a scheme of that name would look like a guard and be none.
fn check_scheme_name(name: &Located<String>, section: &Section<'_>) {
    if name.value == "none" {
        section.report(&name.span, Problem::new("\"none\" stands for no authentication"));
    } else if let Err(problem) = check_name(&name.value) {
        section.report(&name.span, problem);
    }
}

//! Who a client has proved to be, and what is known of it.

use std::borrow::Cow;

use actix_http::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::config::{ClaimFields, ClaimValue, Required};

/// The claim that names the client (RFC 7519 section 4.1.2).
const SUBJECT: &str = "sub";

#[derive(Debug, Default)]
pub struct Identity {
    /// The name of the client, as the access log has it.
    pub subject: Option<Box<str>>,
    claims: Map<String, Value>,
    /// What the upstream is told about it.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// What goes to the client with its answer.
    pub to_client: Vec<(HeaderName, HeaderValue)>,
}

impl Identity {
    pub fn named(name: Option<&str>) -> Self {
        Self { subject: name.map(Box::from), ..Self::default() }
    }

    /// Of a token that says this of itself. A claim that no field can hold is left out.
    pub fn of_claims(claims: Map<String, Value>, fields: &ClaimFields) -> Self {
        let fields = fields.0.iter().filter_map(|(claim, name)| {
            let value = HeaderValue::from_bytes(text_of(claims.get(claim)?).as_bytes()).ok()?;
            Some((name.clone(), value))
        });
        let fields = fields.collect();
        let subject = claims.get(SUBJECT).map(|subject| text_of(subject).into());
        Self { subject, claims, fields, ..Self::default() }
    }

    /// With fields that somebody else vouches for.
    pub fn with_fields(subject: Option<&str>, fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { fields, ..Self::named(subject) }
    }

    /// A claim as text; the client's name stands for `sub` in every scheme.
    pub fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.claims.get(name) {
            Some(value) => Some(text_of(value)),
            None if name == SUBJECT => self.subject.as_deref().map(Cow::Borrowed),
            None => None,
        }
    }

    /// Whether every condition holds; as in `claim`, the client's name stands for `sub`.
    pub fn meets(&self, required: &Required) -> bool {
        required.scopes.iter().all(|scope| self.has_scope(scope))
            && required.claims.iter().all(|(name, one_of)| match self.claims.get(name) {
                Some(Value::Array(values)) => {
                    values.iter().any(|value| one_of.iter().any(|one| is(one, value)))
                }
                Some(value) => one_of.iter().any(|one| is(one, value)),
                None => name == SUBJECT && one_of.iter().any(|one| self.is_named(one)),
            })
    }

    fn is_named(&self, wanted: &ClaimValue) -> bool {
        matches!(wanted, ClaimValue::Text(text) if self.subject.as_deref() == Some(text))
    }

    /// `scope` as RFC 8693 section 4.2 has it, or `scp`, as text or as an array.
    fn has_scope(&self, scope: &str) -> bool {
        ["scope", "scp"].iter().filter_map(|name| self.claims.get(*name)).any(|value| match value {
            Value::String(scopes) => scopes.split(' ').any(|one| one == scope),
            Value::Array(scopes) => scopes.iter().any(|one| one.as_str() == Some(scope)),
            _ => false,
        })
    }
}

fn is(wanted: &ClaimValue, value: &Value) -> bool {
    match wanted {
        ClaimValue::Text(text) => value.as_str() == Some(text),
        ClaimValue::Number(number) => value.as_u64() == Some(*number),
        ClaimValue::Truth(truth) => value.as_bool() == Some(*truth),
    }
}

/// Text as it is, the items of an array with commas between, all else as JSON.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(items) => {
            let items: Vec<Cow<'_, str>> = items.iter().map(text_of).collect();
            Cow::Owned(items.join(","))
        }
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(claims: &Value) -> Identity {
        let fields = ["sub", "roles", "age", "bad"].map(|claim| {
            let name = format!("x-{claim}").parse().expect("is a name");
            (claim.to_owned(), name)
        });
        let claims = claims.as_object().cloned().unwrap_or_default();
        Identity::of_claims(claims, &ClaimFields(fields.into()))
    }

    fn claims() -> Value {
        json!({"sub": "alice", "roles": ["a", "b"], "age": 7, "bad": "a\r\nb", "scope": "read write"})
    }

    #[test]
    fn claims_become_fields_unless_no_field_can_hold_them() {
        let identity = identity(&claims());
        let fields: Vec<_> =
            identity.fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 3] =
            [("x-sub", b"alice"), ("x-roles", b"a,b"), ("x-age", b"7")];
        assert_eq!(fields, expected);
    }

    #[test]
    fn scopes_and_claims_must_all_be_there() {
        let identity = identity(&claims());
        let meets = |scopes: &[&str], name: &str, one_of: &[ClaimValue]| {
            let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            identity.meets(&Required { scopes, claims: vec![(name.to_owned(), one_of.to_vec())] })
        };
        let text = |text: &str| ClaimValue::Text(text.to_owned());
        assert!(meets(&["read", "write"], "roles", &[text("x"), text("b")]));
        assert!(meets(&[], "age", &[ClaimValue::Number(7)]));
        assert!(!meets(&["rea"], "age", &[ClaimValue::Number(7)]));
        assert!(!meets(&[], "age", &[text("7")]));
        assert!(!meets(&[], "roles", &[text("a,b")]));
        assert!(!meets(&[], "none", &[text("")]));
    }

    #[test]
    fn the_name_stands_for_the_subject_in_every_scheme() {
        let named = Identity::named(Some("key"));
        assert_eq!(named.claim("sub").as_deref(), Some("key"));
        let is = |name: &str| {
            let one_of = vec![ClaimValue::Text(name.to_owned())];
            named.meets(&Required { scopes: vec![], claims: vec![("sub".to_owned(), one_of)] })
        };
        assert!(is("key") && !is("Key"));
        assert_eq!(identity(&claims()).claim("sub").as_deref(), Some("alice"));
        assert_eq!(identity(&claims()).claim("none"), None);
    }
}

//! The JSON Schema of the file, for editors. These types only describe; reading is done by the
//! sections, and a test compares the keys of both.

// The fields exist for their names and documentation; no value of these types is ever made.
#![expect(dead_code)]

mod auth;
mod rate_limits;
mod resilience;
mod routes;
mod rules;
mod server;
mod services;
mod text;
mod tls;
mod trust;

use std::collections::BTreeMap;

use schemars::{JsonSchema, schema_for};

use self::{
    auth::AuthScheme,
    rate_limits::{RateLimit, Redis},
    routes::Route,
    server::{Admin, Listener, Log, Server},
    services::Service,
    tls::Acme,
    trust::SecurityHeadersOrSwitch,
};

/// The schema as indented JSON (draft 2020-12).
pub fn text() -> String {
    let mut schema = schema_for!(File).to_value();
    rules::divide_by_type(&mut schema["$defs"]["AuthScheme"]);
    rules::admit_variables(&mut schema);
    serde_json::to_string_pretty(&schema).expect("a schema is plain JSON")
}

/// Configuration of the proxy.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct File {
    /// Auth scheme of every route that names none, and of requests that match no route; "none"
    /// lets everybody in.
    #[schemars(default)]
    auth: Option<String>,
    /// Fields that tell browsers to be careful, for every route that says nothing of them.
    #[schemars(default)]
    security_headers: Option<SecurityHeadersOrSwitch>,
    #[schemars(default)]
    server: Option<Server>,
    #[schemars(default)]
    log: Option<Log>,
    /// Where traffic is taken; one on 0.0.0.0:8080 if there are none.
    #[schemars(default)]
    listeners: Option<Vec<Listener>>,
    #[schemars(default)]
    admin: Option<Admin>,
    #[schemars(default)]
    acme: Option<Acme>,
    #[schemars(default)]
    auth_schemes: Option<BTreeMap<String, AuthScheme>>,
    #[schemars(default)]
    rate_limits: Option<BTreeMap<String, RateLimit>>,
    #[schemars(default)]
    redis: Option<Redis>,
    #[schemars(default)]
    routes: Option<Vec<Route>>,
    #[schemars(default)]
    services: Option<BTreeMap<String, Service>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::Config;

    /// The keys that the reader asks for in a table, from its complaint about one it does not know.
    fn read_keys(text: &str) -> Vec<String> {
        let errors = Config::load(text, "test", &|_| None).expect_err("has an unknown key");
        let unknown = errors.iter().find(|error| error.message.starts_with("unknown key"));
        let hint = unknown.and_then(|error| error.hint.clone()).expect("names the known keys");
        let mut keys: Vec<String> =
            hint.trim_start_matches("known: ").split(", ").map(str::to_owned).collect();
        keys.sort();
        keys
    }

    fn schema_keys(schema: &Value, of: &str) -> Vec<String> {
        let table = match of {
            "" => schema,
            of => &schema["$defs"][of],
        };
        let properties = table["properties"].as_object().expect("is an object");
        let mut keys: Vec<String> = properties.keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_schema_has_the_keys_of_each_type_of_scheme() {
        let schema: Value = serde_json::from_str(&text()).expect("is JSON");
        let keys_of =
            |kind| read_keys(&format!("[auth_schemes.x]\ntype = \"{kind}\"\nzzzzzzzz = 1"));
        let mut all = BTreeSet::new();
        for (kind, own) in auth::KEYS_BY_TYPE {
            let mut own: Vec<&str> = own.iter().copied().chain(["type"]).collect();
            own.sort_unstable();
            assert_eq!(own, keys_of(kind), "{kind}");
            all.extend(keys_of(kind));
        }
        assert_eq!(auth::KEYS_BY_TYPE.map(|(kind, _)| kind), crate::config::auth::TYPES);
        assert_eq!(schema_keys(&schema, "AuthScheme"), all.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read() {
        let schema: Value = serde_json::from_str(&text()).expect("is JSON");
        let listener = "[[listeners]]\nbind = \"127.0.0.1:0\"\n";
        let route = "[[routes]]\nrespond = { status = 200 }\n";
        let service = "[services.x]\nendpoints = [\"http://a\"]\n";
        for (of, file) in [
            ("", "zzzzzzzz = 1".to_owned()),
            ("Server", "[server]\nzzzzzzzz = 1".to_owned()),
            ("Log", "[log]\nzzzzzzzz = 1".to_owned()),
            ("Listener", format!("{listener}zzzzzzzz = 1")),
            ("ListenerTls", format!("{listener}tls = {{ acme = [], zzzzzzzz = 1 }}")),
            (
                "CertificateFiles",
                format!("{listener}tls = {{ certificates = [{{ zzzzzzzz = 1 }}] }}"),
            ),
            ("HstsTable", format!("{listener}tls = {{ hsts = {{ zzzzzzzz = 1 }} }}")),
            ("Acme", "[acme]\nzzzzzzzz = 1".to_owned()),
            ("Admin", "[admin]\nzzzzzzzz = 1".to_owned()),
            (
                "Failures",
                "[auth_schemes.x]\ntype = \"mtls\"\nfailures = { zzzzzzzz = 1 }".to_owned(),
            ),
            ("RateLimit", "[rate_limits.x]\nrequests = 1\nzzzzzzzz = 1".to_owned()),
            ("Redis", "[redis]\nurl = \"redis://a\"\nzzzzzzzz = 1".to_owned()),
            ("Require", format!("{route}require = {{ zzzzzzzz = 1 }}")),
            ("Route", format!("{route}zzzzzzzz = 1")),
            ("Redirect", "[[routes]]\nredirect = { to = \"/\", zzzzzzzz = 1 }".to_owned()),
            ("Respond", "[[routes]]\nrespond = { zzzzzzzz = 1 }".to_owned()),
            ("Cors", format!("{route}cors = {{ zzzzzzzz = 1 }}")),
            ("SecurityHeaders", "security_headers = { zzzzzzzz = 1 }".to_owned()),
            ("HeaderRules", format!("{route}request_headers = {{ zzzzzzzz = 1 }}")),
            ("Service", format!("{service}zzzzzzzz = 1")),
            ("Split", format!("{route}split = [{{ service = \"x\", zzzzzzzz = 1 }}]")),
            ("Mirror", format!("{route}mirror = {{ service = \"x\", zzzzzzzz = 1 }}")),
            ("RouteRetry", format!("{route}retry = {{ zzzzzzzz = 1 }}")),
            (
                "EndpointTable",
                "services.x.endpoints = [{ url = \"http://a\", zzzzzzzz = 1 }]".to_owned(),
            ),
            ("HashBalance", format!("{service}balance = {{ hash = \"client_ip\", zzzzzzzz = 1 }}")),
            ("StickyBalance", format!("{service}balance = {{ sticky = \"a\", zzzzzzzz = 1 }}")),
            ("RouteTimeouts", format!("{route}timeouts = {{ zzzzzzzz = 1 }}")),
            ("Timeouts", format!("{service}timeouts = {{ zzzzzzzz = 1 }}")),
            ("Tunnel", format!("{service}tunnel = {{ zzzzzzzz = 1 }}")),
            ("Retry", format!("{service}retry = {{ zzzzzzzz = 1 }}")),
            ("Outlier", format!("{service}outlier = {{ zzzzzzzz = 1 }}")),
            ("Health", format!("{service}health = {{ zzzzzzzz = 1 }}")),
            ("Breaker", format!("{service}breaker = {{ zzzzzzzz = 1 }}")),
            ("UpstreamTls", format!("{service}tls = {{ zzzzzzzz = 1 }}")),
            ("Limits", format!("{service}limits = {{ zzzzzzzz = 1 }}")),
        ] {
            assert_eq!(schema_keys(&schema, of), read_keys(&file), "{of}");
        }
    }
}

//! TLS: `tls` of listeners and of services, and `[acme]`.

use schemars::JsonSchema;

use super::text::{DurationText, Off};

/// What clients are shown and asked for: "certificates", "acme" or both.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct ListenerTls {
    /// Chosen by the name that the client asks for; the first is the default.
    #[schemars(default)]
    certificates: Option<Vec<CertificateFiles>>,
    /// Host names that a certificate each is ordered for, as [acme] says.
    #[schemars(default)]
    acme: Option<Vec<String>>,
    /// File with the CAs that sign the certificates of clients, in PEM.
    #[schemars(default)]
    client_ca: Option<String>,
    /// Whether clients must show a certificate; "require" by default, if there is a "client_ca".
    #[schemars(default)]
    client_auth: Option<ClientAuth>,
    /// "1.2" by default.
    #[schemars(default)]
    min_version: Option<TlsVersion>,
    /// What a client has for its handshake; 10s by default.
    #[schemars(default)]
    handshake_timeout: Option<DurationText>,
    /// Strict-Transport-Security: "off", the default, how long, or a table.
    #[schemars(default)]
    hsts: Option<Hsts>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct CertificateFiles {
    /// File with a chain of certificates in PEM, the server's own first.
    cert: String,
    /// File with its private key in PEM.
    key: String,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub(super) enum ClientAuth {
    Require,
    Optional,
}

#[derive(JsonSchema)]
pub(super) enum TlsVersion {
    #[schemars(rename = "1.2")]
    V1_2,
    #[schemars(rename = "1.3")]
    V1_3,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub(super) enum Hsts {
    Off(Off),
    MaxAge(MaxAgeText),
    Table(HstsTable),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct HstsTable {
    max_age: MaxAgeText,
    /// Whether hosts below are meant too; false by default.
    #[schemars(default)]
    include_subdomains: Option<bool>,
    /// Whether browsers may list the host; needs the key above, and 365d. False by default.
    #[schemars(default)]
    preload: Option<bool>,
}

/// A whole number and s, m, h or d; up to 730d.
#[derive(JsonSchema)]
pub(super) struct MaxAgeText(#[schemars(regex(pattern = r"^[0-9]+(s|m|h|d)$"))] String);

/// For endpoints with https.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct UpstreamTls {
    /// File with the CAs that sign the certificates of endpoints, in PEM; those of the system by
    /// default.
    #[schemars(default)]
    ca: Option<String>,
    /// File with the chain of certificates that endpoints are shown, in PEM; with "client_key".
    #[schemars(default)]
    client_cert: Option<String>,
    /// File with its private key in PEM.
    #[schemars(default)]
    client_key: Option<String>,
    /// Host name or address that certificates must have, or "{host}" for what Host says to the endpoint;
    /// the endpoint's host by default.
    #[schemars(default)]
    server_name: Option<String>,
    /// Whether certificates are checked; true by default.
    #[schemars(default)]
    verify: Option<bool>,
}

/// Where the certificates of listeners with "acme" are ordered (RFC 8555).
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Acme {
    /// URL of the CA's directory; that of Let's Encrypt by default.
    #[schemars(default, regex(pattern = r"^https://"))]
    directory: Option<String>,
    /// Told to the CA.
    #[schemars(default)]
    email: Option<String>,
    /// Folder for account, keys and certificates; an absolute path.
    #[schemars(regex(pattern = r"^/"))]
    state: String,
    /// How hosts are proven; "http-01" by default.
    #[schemars(default)]
    challenge: Option<AcmeChallenge>,
    /// File with the CAs that sign the directory's own certificate, in PEM; those of the system by
    /// default.
    #[schemars(default)]
    ca: Option<String>,
}

#[derive(JsonSchema)]
pub(super) enum AcmeChallenge {
    /// Over HTTP on port 80; needs a listener without "tls".
    #[schemars(rename = "http-01")]
    Http01,
    /// In a handshake on port 443.
    #[schemars(rename = "tls-alpn-01")]
    TlsAlpn01,
}

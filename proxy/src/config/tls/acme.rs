//! `[acme]`: where certificates are ordered (RFC 8555).

use std::path::PathBuf;

use actix_http::Uri;

use super::files::NamedFile;
use crate::config::{
    error::Problem,
    section::Section,
    value::{FromText, unknown_word},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The directory's URL, with `https`.
    pub directory: String,
    /// Told to the CA as `mailto:`.
    pub email: Option<String>,
    /// Where account, keys and certificates are kept, an absolute path; other processes may use it
    /// at the same time.
    pub state: NamedFile,
    pub challenge: AcmeChallenge,
    /// CAs in PEM that the directory's own certificate is checked by; `None`: those of the system.
    pub ca: Option<NamedFile>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// RFC 8555 section 8.3: over plain HTTP on port 80.
    #[default]
    Http01,
    /// RFC 8737: in a TLS handshake on port 443.
    TlsAlpn01,
}

/// What the listeners have for `[acme]`, as written: whether or not the rest of them is right.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct AcmeUse {
    names_hosts: bool,
    has_plain: bool,
}

const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl AcmeUse {
    /// `listeners`: their tables; `None` stands for the one by default.
    pub(in crate::config) fn of(listeners: Option<&[Section<'_>]>) -> Self {
        match listeners {
            None => Self { names_hosts: false, has_plain: true },
            // Reported already: what was meant, nobody knows.
            Some([]) => Self { names_hosts: true, has_plain: true },
            Some(listeners) => Self {
                names_hosts: listeners.iter().any(names_hosts),
                has_plain: listeners.iter().any(|listener| !listener.has("tls")),
            },
        }
    }
}

fn names_hosts(listener: &Section<'_>) -> bool {
    let tls = listener.peek("tls");
    tls.is_some_and(|tls| tls.has("acme") && !tls.is_empty_array("acme"))
}

impl AcmeConfig {
    /// `None` if something is missing that was reported.
    pub(in crate::config) fn read(mut section: Section<'_>, used: AcmeUse) -> Option<Self> {
        let directory = section.get::<Directory>("directory").map(|url| url.value.0);
        let email = section.get::<Email>("email").map(|email| email.value.0);
        let state = section.require::<StateFolder>("state").map(|state| NamedFile {
            at: section.reader.source.position(state.span.start),
            path: state.value.0,
        });
        let challenge = read_challenge(&mut section, used);
        let ca = NamedFile::read(&mut section, "ca");
        if !used.names_hosts {
            let problem = Problem::new("[acme] has no use: no listener names hosts for it");
            let hint = "write acme = [\"example.com\"] in the tls of a listener";
            section.report(&section.span, problem.hint(hint));
        }
        section.finish();
        Some(Self {
            directory: directory.unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned()),
            email,
            state: state?,
            challenge,
            ca,
        })
    }
}

fn read_challenge(section: &mut Section<'_>, used: AcmeUse) -> AcmeChallenge {
    const KEY: &str = "challenge";
    let given = section.get::<AcmeChallenge>(KEY);
    let is_known = given.is_some() || !section.has(KEY);
    let span = given.as_ref().map_or_else(|| section.span.clone(), |given| given.span.clone());
    let challenge = given.map(|given| given.value).unwrap_or_default();
    if is_known && challenge == AcmeChallenge::Http01 && used.names_hosts && !used.has_plain {
        let problem = Problem::new("the challenge \"http-01\" needs a listener without tls");
        let hint = "one that port 80 of the hosts leads to; or challenge = \"tls-alpn-01\"";
        section.report(&span, problem.hint(hint));
    }
    challenge
}

impl FromText for AcmeChallenge {
    const EXPECTED: &'static str = "\"http-01\" or \"tls-alpn-01\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            other => Err(unknown_word(other, &["http-01", "tls-alpn-01"])),
        }
    }
}

struct Directory(String);

impl FromText for Directory {
    const EXPECTED: &'static str =
        "an https URL such as \"https://acme-v02.api.letsencrypt.org/directory\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_right = |uri: &Uri| {
            let authority = uri.authority().map(|authority| authority.as_str());
            authority.is_some_and(|authority| !authority.contains('@')) && uri.port_u16() != Some(0)
        };
        let is_https = text.starts_with("https://") && !text.contains('#');
        if is_https && text.parse::<Uri>().is_ok_and(|uri| is_right(&uri)) {
            return Ok(Self(text.to_owned()));
        }
        Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

/// One address as it can stand in a `mailto:` URL as it is.
struct Email(String);

impl FromText for Email {
    const EXPECTED: &'static str = "an address such as \"admin@example.com\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b",:;?#%&<>\"".contains(&byte);
        let has_parts = text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !host.is_empty() && !host.contains('@')
        });
        if has_parts && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        let problem = Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED));
        Err(match text.strip_prefix("mailto:") {
            Some(address) => problem.hint(format!("without \"mailto:\": \"{address}\"")),
            None => problem,
        })
    }
}

/// Not from wherever the program is started: what is not found again there would be ordered anew,
/// and CAs give few.
struct StateFolder(PathBuf);

impl FromText for StateFolder {
    const EXPECTED: &'static str = "the absolute path of a folder such as \"/var/lib/proxy/acme\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if text.starts_with('/') && !text.contains(char::is_control) {
            return Ok(Self(PathBuf::from(text)));
        }
        Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Position};

    fn acme(keys: &str) -> AcmeConfig {
        let text = format!(
            "[acme]\nstate = \"/var/lib/acme\"\n{keys}\n[[listeners]]\nbind = \"127.0.0.1:0\"\n\
             [[listeners]]\nbind = \"127.0.0.1:0\"\ntls = {{ acme = [\"a.test\"] }}\n"
        );
        let config = Config::load(&text, "test", &|_| None).expect("is valid");
        config.acme.expect("has a table")
    }

    #[test]
    fn a_folder_is_enough_and_the_rest_has_defaults() {
        let expected = AcmeConfig {
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            email: None,
            state: NamedFile { path: "/var/lib/acme".into(), at: Position { line: 2, column: 9 } },
            challenge: AcmeChallenge::Http01,
            ca: None,
        };
        assert_eq!(acme(""), expected);
    }

    #[test]
    fn each_key_sets_its_own_field() {
        let expected = AcmeConfig {
            directory: "https://127.0.0.1:14000/dir".to_owned(),
            email: Some("admin@a.test".to_owned()),
            state: NamedFile { path: "/var/lib/acme".into(), at: Position { line: 2, column: 9 } },
            challenge: AcmeChallenge::TlsAlpn01,
            ca: Some(NamedFile { path: "ca.pem".into(), at: Position { line: 6, column: 6 } }),
        };
        let acme = acme(
            "directory = \"https://127.0.0.1:14000/dir\"\nemail = \"admin@a.test\"\n\
             challenge = \"tls-alpn-01\"\nca = \"ca.pem\"",
        );
        assert_eq!(acme, expected);
    }

    #[test]
    fn a_directory_is_an_https_url() {
        for url in ["https://a", "https://[::1]:14000/dir?x=1"] {
            assert!(Directory::from_text(url).is_ok(), "{url}");
        }
        for wrong in [
            "",
            "http://a",
            "a",
            "/dir",
            "https://",
            "https://u@a/",
            "https://a:0/",
            "https://a/#f",
        ] {
            assert!(Directory::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_email_is_one_address() {
        for address in ["a@b", "first.last+acme@example.com"] {
            assert!(Email::from_text(address).is_ok(), "{address}");
        }
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b,c@d", "mailto:a@b", "a@b?cc=c"] {
            assert!(Email::from_text(wrong).is_err(), "{wrong}");
        }
    }
}

//! `type = "mtls"`: the certificate that the listener has verified says who the client is.

use crate::config::{
    error::{Located, Problem},
    section::Section,
};

/// At the end of a subject that is longer than is kept (`tls/subject.rs`).
const CUT: char = '…';

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsConfig {
    /// As RFC 4514 writes them, just as in the access log; empty: every one that the listener's
    /// CAs have signed.
    pub subjects: Vec<String>,
}

impl MtlsConfig {
    #[expect(clippy::unnecessary_wraps, reason = "as the other types are read")]
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let subjects = section.or::<Vec<Located<String>>>("subjects", Vec::new());
        for subject in subjects.iter().filter(|subject| subject.value.ends_with(CUT)) {
            let problem = Problem::new("a subject that was cut stands for all that begin so");
            section.report(&subject.span, problem.hint("subjects have 256 bytes at most here"));
        }
        Some(Self { subjects: subjects.into_iter().map(|subject| subject.value).collect() })
    }
}

//! `type = "forward"`: another server decides about each request.

use std::time::Duration;

use actix_http::header::HeaderName;

use super::{claims::IdentityField, introspection::TIMEOUT};
use crate::config::{
    call_url::CallConfig,
    duration::Timeout,
    error::Located,
    header_rules::{FieldName, check_own},
    section::Section,
};

#[derive(Clone, Debug)]
pub struct ForwardConfig {
    pub call: CallConfig,
    /// Fields of its answer that the upstream gets; the client's own are dropped.
    pub copy_headers: Vec<HeaderName>,
    /// Fields of its answer that the client gets with its own, if it is let in.
    pub copy_to_client: Vec<HeaderName>,
    pub timeout: Duration,
}

impl ForwardConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        section.must_have("url");
        let call = CallConfig::read(section, "url");
        let copied = section.or::<Vec<Located<IdentityField>>>("copy_headers", Vec::new());
        let to_client = section.or::<Vec<Located<FieldName>>>("copy_to_client", Vec::new());
        for name in &to_client {
            if let Err(problem) = check_own(&name.value) {
                section.report(&name.span, problem);
            }
        }
        let timeout = section.or("timeout", Timeout(TIMEOUT)).0;
        Some(Self {
            call: call?,
            copy_headers: copied.into_iter().map(|name| name.value.0).collect(),
            copy_to_client: to_client.into_iter().map(|name| name.value.0).collect(),
            timeout,
        })
    }
}

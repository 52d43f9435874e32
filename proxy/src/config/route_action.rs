//! What a route does with its requests: forwards, redirects or answers them.

use std::ops::Range;

use actix_http::{StatusCode, header::HeaderValue};

use super::{
    error::{Located, Problem, did_you_mean},
    header_rules::FieldValue,
    mirror::MirrorConfig,
    pattern::{PathPattern, Piece, Template},
    routes::Names,
    section::Section,
    split,
};

#[derive(Clone, Debug)]
pub enum RouteAction {
    Forward { service: ServiceChoice, rewrite: Option<Template>, mirror: Option<MirrorConfig> },
    Redirect { to: Template, status: StatusCode },
    Respond { status: StatusCode, body: String, content_type: HeaderValue },
}

#[derive(Clone, Debug)]
pub enum ServiceChoice {
    /// An index into the services.
    Named(usize),
    /// The placeholder that holds the name.
    FromPath(String),
    /// Indexes into the services with their weights, 0 to 1000: 2 to 16 parts, not all of them 0.
    Split(Vec<(usize, u32)>),
}

const ACTIONS: [&str; 4] = ["service", "split", "redirect", "respond"];

impl RouteAction {
    /// Who gets copies of its requests.
    pub fn mirror(&self) -> Option<&MirrorConfig> {
        match self {
            Self::Forward { mirror, .. } => mirror.as_ref(),
            Self::Redirect { .. } | Self::Respond { .. } => None,
        }
    }

    /// `None` if the route does not say what to do, or wrongly, which is reported.
    pub(super) fn read(
        section: &mut Section<'_>,
        paths: &[PathPattern],
        names: &Names<'_>,
    ) -> Option<Self> {
        let service = section.get::<Template>("service");
        let split = split::read(section, names);
        let rewrite = section.get::<Template>("rewrite");
        let mirror = section.section("mirror").and_then(|mirror| MirrorConfig::read(mirror, names));
        let redirect = section.section("redirect");
        let respond = section.section("respond");
        check_number(section)?;
        let forwards = section.has("service") || section.has("split");
        if let Some(template) = &rewrite {
            check_rewrite(section, template, paths, forwards);
        }
        if section.has("mirror") && !forwards {
            let problem = Problem::new("\"mirror\" needs a \"service\" or a \"split\"");
            section.report(&section.key_span("mirror"), problem);
        }
        if forwards {
            let service = match service {
                Some(service) => service_choice(section, &service, paths, names),
                None => split.map(ServiceChoice::Split),
            };
            let rewrite = rewrite.map(|found| found.value);
            return Some(Self::Forward { service: service?, rewrite, mirror });
        }
        redirect
            .and_then(|redirect| read_redirect(redirect, paths))
            .or_else(|| respond.and_then(read_respond))
    }
}

/// Exactly one action; else reports and is `None`.
fn check_number(section: &Section<'_>) -> Option<()> {
    let given: Vec<&str> = ACTIONS.into_iter().filter(|key| section.has(key)).collect();
    let message = match given.as_slice() {
        [_] => return Some(()),
        [] => "a route needs \"service\", \"split\", \"redirect\" or \"respond\"".to_owned(),
        several => format!("a route can have only one of \"{}\"", several.join("\", \"")),
    };
    section.report(&section.span, Problem::new(message));
    None
}

fn check_rewrite(
    section: &Section<'_>,
    template: &Located<Template>,
    paths: &[PathPattern],
    forwards: bool,
) {
    check_names(section, template, paths);
    if !forwards {
        let problem = Problem::new("\"rewrite\" needs a \"service\" or a \"split\"");
        section.report(&template.span, problem);
    }
    if !matches!(template.value.pieces.first(), Some(Piece::Literal(text)) if text.starts_with('/'))
    {
        section.report(&template.span, Problem::new("\"rewrite\" must start with \"/\""));
    }
    let has_fragment = |piece: &Piece| matches!(piece, Piece::Literal(text) if text.contains('#'));
    if template.value.pieces.iter().any(has_fragment) {
        let problem = Problem::new("\"rewrite\" has a fragment, which no server is ever sent");
        section
            .report(&template.span, problem.hint("leave out \"#\" and what follows, or write %23"));
    }
}

fn service_choice(
    section: &Section<'_>,
    service: &Located<Template>,
    paths: &[PathPattern],
    names: &Names<'_>,
) -> Option<ServiceChoice> {
    if let Some(name) = service.value.only_placeholder() {
        let in_all = !paths.is_empty()
            && paths.iter().all(|path| path.names.iter().any(|known| known == name));
        if !in_all {
            let message = format!("{{{name}}} must stand in every \"path\" of the route");
            section.report(&service.span, Problem::new(message));
        }
        return Some(ServiceChoice::FromPath(name.to_owned()));
    }
    let [Piece::Literal(name)] = service.value.pieces.as_slice() else {
        let problem = Problem::new("\"service\" is a name, or one placeholder such as {service}");
        section.report(&service.span, problem);
        return None;
    };
    find_service(section, name, &service.span, names).map(ServiceChoice::Named)
}

/// The index of the service called `name`; `None` is reported at `span`.
pub(super) fn find_service(
    section: &Section<'_>,
    name: &str,
    span: &Range<usize>,
    names: &Names<'_>,
) -> Option<usize> {
    let found = names.services.find(name);
    if found.is_none() {
        let mut problem = Problem::new(format!("unknown service \"{name}\""));
        problem.hint = names
            .services
            .suggest(name)
            .or_else(|| Some(format!("services are tables: [services.{name}]")));
        section.report(span, problem);
    }
    found
}

/// A placeholder that no path of the route has can never be filled.
fn check_names(section: &Section<'_>, template: &Located<Template>, paths: &[PathPattern]) {
    for name in template.value.names() {
        let known = || paths.iter().flat_map(|path| path.names.iter().map(String::as_str));
        if !known().any(|known| known == name) {
            let mut problem =
                Problem::new(format!("no \"path\" of the route has the placeholder {{{name}}}"));
            problem.hint = did_you_mean(name, known());
            section.report(&template.span, problem);
        }
    }
}

fn read_redirect(mut section: Section<'_>, paths: &[PathPattern]) -> Option<RouteAction> {
    let to = section.require::<Template>("to");
    let status = section.get::<u64>("status");
    if let Some(given) =
        status.as_ref().filter(|given| ![301, 302, 303, 307, 308].contains(&given.value))
    {
        section.report(&given.span, Problem::new("expected 301, 302, 303, 307 or 308"));
    }
    if let Some(to) = &to {
        check_names(&section, to, paths);
    }
    section.finish();
    let status = status.and_then(|given| status_code(given.value));
    Some(RouteAction::Redirect {
        to: to?.value,
        status: status.unwrap_or(StatusCode::PERMANENT_REDIRECT),
    })
}

fn read_respond(mut section: Section<'_>) -> Option<RouteAction> {
    let status = section.get::<u64>("status");
    if let Some(given) = status.as_ref().filter(|given| !(200..=599).contains(&given.value)) {
        section.report(&given.span, Problem::new("expected a status from 200 to 599"));
    }
    let body = section.or("body", String::new());
    let (reader, body_span) = (section.reader, section.key_span("body"));
    let content_type = section.get::<FieldValue>("content_type");
    section.finish();
    let status = status.and_then(|given| status_code(given.value));
    let has_none = [Some(StatusCode::NO_CONTENT), Some(StatusCode::NOT_MODIFIED)].contains(&status);
    if has_none && !body.is_empty() {
        reader.report(&body_span, Problem::new("a 204 or 304 has no body (RFC 9112 section 6.3)"));
    }
    Some(RouteAction::Respond {
        status: status.unwrap_or(StatusCode::OK),
        body,
        content_type: content_type.map_or_else(
            || HeaderValue::from_static("text/plain; charset=utf-8"),
            |value| value.value.0,
        ),
    })
}

fn status_code(status: u64) -> Option<StatusCode> {
    u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_split_has_its_weights_and_a_mirror_its_service() {
        let text = "[[routes]]\n\
                    split = [{ service = \"b\", weight = 0 }, { service = \"a\" }]\n\
                    mirror = { service = \"c\", percent = 5, body_limit = \"7B\" }\n\
                    [services]\na.endpoints = [\"http://a\"]\nb.endpoints = [\"http://a\"]\n\
                    c.endpoints = [\"http://a\"]\n";
        let config = Config::load(text, "test", &|_| None).expect("is valid");
        let RouteAction::Forward { service: ServiceChoice::Split(parts), mirror, .. } =
            &config.routes[0].action
        else {
            panic!("{:?}", config.routes[0].action);
        };
        assert_eq!(parts, &[(1, 0), (0, 1)]);
        assert_eq!(*mirror, Some(MirrorConfig { service: 2, percent: 5, body_limit: 7 }));
    }
}

//! `[[routes]]`: which requests a route takes and what happens to them.

use actix_http::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};

use super::{
    error::{Located, Position, Problem, did_you_mean},
    header_rules::{FieldName, FieldValue, HeaderRules},
    pattern::{PathPattern, Template},
    section::Section,
    services::check_name,
    size::BodyLimit,
    timeouts::TimeoutOverrides,
    value::{FromText, OneOrMore},
};

/// The label of requests that no route took.
pub const NO_ROUTE: &str = "none";

#[derive(Clone, Debug)]
pub struct RouteConfig {
    pub name: String,
    pub position: Position,
    /// Empty: any host.
    pub hosts: Vec<HostPattern>,
    /// Empty: any path.
    pub paths: Vec<PathPattern>,
    /// Empty: any method.
    pub methods: Vec<Method>,
    /// All of them must be there with just this value.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub action: RouteAction,
    /// An index into the auth schemes; `None` lets everybody in.
    pub auth: Option<usize>,
    pub request_headers: HeaderRules,
    pub response_headers: HeaderRules,
    pub max_body: Option<BodyLimit>,
    pub timeouts: TimeoutOverrides,
}

#[derive(Clone, Debug)]
pub enum RouteAction {
    Forward { service: ServiceChoice, rewrite: Option<Template> },
    Redirect { to: Template, status: StatusCode },
    Respond { status: StatusCode, body: String, content_type: HeaderValue },
}

#[derive(Clone, Debug)]
pub enum ServiceChoice {
    /// An index into the services.
    Named(usize),
    /// The placeholder that holds the name.
    FromPath(String),
}

/// A host without port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: any number of labels before it, at least one.
    Suffix(String),
}

/// What routes may refer to.
pub(super) struct Names<'a> {
    pub(super) services: &'a [String],
    pub(super) schemes: &'a [(String, bool)],
    pub(super) default_auth: Option<usize>,
}

impl RouteConfig {
    /// The name, and the route itself unless it does not say what to do.
    pub(super) fn read(
        mut section: Section<'_>,
        number: usize,
        names: &Names<'_>,
    ) -> (Located<String>, Option<Self>) {
        let position = section.reader.source.position(section.span.start);
        let name = route_name(&mut section, number);
        let paths = list::<PathPattern>(&mut section, "path");
        let action = read_action(&mut section, &paths, names);
        let auth = match section.get::<String>("auth") {
            Some(scheme) => find_scheme(&section, &scheme, names.schemes),
            None => names.default_auth,
        };
        let methods = list::<MethodName>(&mut section, "methods");
        let hosts = list(&mut section, "host");
        let headers = matched_headers(&mut section);
        let request_headers = HeaderRules::read(section.section("request_headers"));
        let response_headers = HeaderRules::read(section.section("response_headers"));
        let max_body = section.get("max_body").map(|limit| limit.value);
        let timeouts = TimeoutOverrides::read(section.section("timeouts"));
        section.finish();
        let route = action.map(|action| Self {
            name: name.value.clone(),
            position,
            hosts,
            paths,
            methods: methods.into_iter().map(|method| method.0).collect(),
            headers,
            action,
            auth,
            request_headers,
            response_headers,
            max_body,
            timeouts,
        });
        (name, route)
    }
}

fn route_name(section: &mut Section<'_>, number: usize) -> Located<String> {
    let Some(name) = section.get::<String>("name") else {
        return Located { value: format!("route-{number}"), span: section.span.clone() };
    };
    if let Err(problem) = check_name(&name.value) {
        section.report(&name.span, problem);
    }
    if name.value == NO_ROUTE {
        let message = format!("the name \"{NO_ROUTE}\" stands for requests without a route");
        section.report(&name.span, Problem::new(message));
    }
    Located { span: section.key_span("name"), ..name }
}

fn list<T: FromText>(section: &mut Section<'_>, key: &'static str) -> Vec<T> {
    let Some(values) = section.get::<OneOrMore<T>>(key) else {
        return Vec::new();
    };
    if section.is_empty_array(key) {
        let message = format!("\"{key}\" is empty and would match nothing");
        section.report(&values.span, Problem::new(message).hint("leave it out to match all"));
    }
    values.value.0.into_iter().map(|value| value.value).collect()
}

fn matched_headers(section: &mut Section<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(headers) = section.section("headers") else {
        return Vec::new();
    };
    HeaderRules::fields(headers, |_: &FieldName| Ok(()), |FieldValue(value)| value)
}

/// The scheme of that name; "none" is no scheme.
pub(super) fn find_scheme(
    section: &Section<'_>,
    name: &Located<String>,
    schemes: &[(String, bool)],
) -> Option<usize> {
    if name.value == "none" {
        return None;
    }
    let found = schemes.iter().position(|(scheme, _)| *scheme == name.value);
    if found.is_none() {
        let mut problem = Problem::new(format!("unknown auth scheme \"{}\"", name.value));
        problem.hint = did_you_mean(&name.value, schemes.iter().map(|(name, _)| name.as_str()))
            .or_else(|| Some("schemes are [auth_schemes.…] tables, or \"none\"".to_owned()));
        section.report(&name.span, problem);
    }
    found
}

fn read_action(
    section: &mut Section<'_>,
    paths: &[PathPattern],
    names: &Names<'_>,
) -> Option<RouteAction> {
    let service = section.get::<Template>("service");
    let rewrite = section.get::<Template>("rewrite");
    let redirect = section.section("redirect");
    let respond = section.section("respond");
    let given: Vec<&str> =
        ["service", "redirect", "respond"].into_iter().filter(|key| section.has(key)).collect();
    if given.len() != 1 {
        let message = match given.as_slice() {
            [] => "a route needs \"service\", \"redirect\" or \"respond\"".to_owned(),
            several => format!("a route can have only one of \"{}\"", several.join("\", \"")),
        };
        section.report(&section.span.clone(), Problem::new(message));
        return None;
    }
    if let Some(template) = &rewrite {
        check_names(section, template, paths);
        if !section.has("service") {
            section.report(&template.span, Problem::new("\"rewrite\" needs a \"service\""));
        }
        if !matches!(template.value.pieces.first(), Some(super::Piece::Literal(text)) if text.starts_with('/'))
        {
            section.report(&template.span, Problem::new("\"rewrite\" must start with \"/\""));
        }
    }
    if let Some(service) = service {
        let service = service_choice(section, &service, paths, names)?;
        return Some(RouteAction::Forward { service, rewrite: rewrite.map(|found| found.value) });
    }
    redirect
        .and_then(|redirect| read_redirect(redirect, paths))
        .or_else(|| respond.and_then(read_respond))
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
    let [super::Piece::Literal(name)] = service.value.pieces.as_slice() else {
        let problem = Problem::new("\"service\" is a name, or one placeholder such as {service}");
        section.report(&service.span, problem);
        return None;
    };
    let found = names.services.iter().position(|service| service == name);
    if found.is_none() {
        let mut problem = Problem::new(format!("unknown service \"{name}\""));
        problem.hint = did_you_mean(name, names.services.iter().map(String::as_str))
            .or_else(|| Some(format!("services are tables: [services.{name}]")));
        section.report(&service.span, problem);
    }
    found.map(ServiceChoice::Named)
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

struct MethodName(Method);

impl FromText for MethodName {
    const EXPECTED: &'static str = "a method such as \"GET\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let is_method = !text.is_empty()
            && text.len() <= 32
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if is_method => Ok(Self(method)),
            _ => Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED))
                .hint("methods are case-sensitive and written in capitals")),
        }
    }
}

impl FromText for HostPattern {
    const EXPECTED: &'static str = "a host such as \"api.example.com\" or \"*.example.com\"";

    fn from_text(text: &str) -> Result<Self, Problem> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let is_address = name.starts_with('[')
            && name.ends_with(']')
            && name[1..name.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !(is_address && !wildcard || name.split('.').all(is_label)) {
            return Err(Problem::new(format!("expected {}, found \"{text}\"", Self::EXPECTED))
                .hint("without port; \"*.\" only at the start"));
        }
        let name = name.to_ascii_lowercase();
        Ok(if wildcard { Self::Suffix(format!(".{name}")) } else { Self::Exact(name) })
    }
}

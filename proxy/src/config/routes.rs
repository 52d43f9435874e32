//! `[[routes]]`: which requests a route takes and what happens to them.

use actix_http::{
    Method,
    header::{HeaderName, HeaderValue},
};

use super::{
    auth::{Required, SchemeUse},
    cors::CorsConfig,
    error::{Located, Position, Problem},
    header_rules::{FieldName, FieldValue, HeaderRules},
    method::MethodName,
    name_index::NameIndex,
    network::ClientLists,
    paths::UnsafeBytes,
    pattern::PathPattern,
    rate_limits::{self, LimitUse},
    retry::RetryOverrides,
    route_action::RouteAction,
    section::Section,
    security_headers::SecurityHeaders,
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
    /// What the client must be allowed, once it is known.
    pub require: Required,
    /// Indexes into the rate limits, in the order in which they are asked.
    pub rate_limits: Vec<usize>,
    /// Which addresses may, whoever they are.
    pub clients: ClientLists,
    pub cors: Option<CorsConfig>,
    pub request_headers: HeaderRules,
    /// With what `cors` and `security_headers` come to.
    pub response_headers: HeaderRules,
    pub max_body: Option<BodyLimit>,
    /// Instead of the server's.
    pub unsafe_bytes: Option<UnsafeBytes>,
    pub timeouts: TimeoutOverrides,
    pub retry: RetryOverrides,
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
    pub(super) services: &'a NameIndex,
    pub(super) schemes: &'a NameIndex<SchemeUse>,
    pub(super) default_auth: Option<usize>,
    pub(super) rate_limits: &'a NameIndex<LimitUse>,
    pub(super) security: &'a SecurityHeaders,
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
        let action = RouteAction::read(&mut section, &paths, names);
        let auth = match section.get::<String>("auth") {
            Some(scheme) => find_scheme(&section, &scheme, names.schemes),
            None => names.default_auth,
        };
        let require = read_require(&mut section, auth, names);
        let rate_limits = rate_limits::read_route(&mut section, names.rate_limits, auth.is_some());
        let clients = ClientLists::read(&mut section);
        let methods: Vec<Method> = list::<MethodName>(&mut section, "methods")
            .into_iter()
            .map(|method| method.0)
            .collect();
        let hosts = list(&mut section, "host");
        let headers = matched_headers(&mut section);
        let request_headers = HeaderRules::read(section.section("request_headers"));
        let mut response_headers = HeaderRules::read(section.section("response_headers"));
        let cors = CorsConfig::read(&mut section, &methods, &mut response_headers);
        SecurityHeaders::read(&mut section, names.security).expand(&mut response_headers);
        let max_body = section.get("max_body").map(|limit| limit.value);
        let unsafe_bytes = section.get("unsafe_bytes").map(|word| word.value);
        let timeouts = TimeoutOverrides::read(section.section("timeouts"));
        let retry = RetryOverrides::read(section.section("retry"));
        section.finish();
        let route = action.map(|action| Self {
            name: name.value.clone(),
            position,
            hosts,
            paths,
            methods,
            headers,
            action,
            auth,
            require,
            rate_limits,
            clients,
            cors,
            request_headers,
            response_headers,
            max_body,
            unsafe_bytes,
            timeouts,
            retry,
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

/// What nobody could have would let nobody in.
fn read_require(section: &mut Section<'_>, auth: Option<usize>, names: &Names<'_>) -> Required {
    let require = Required::read_route(section.section("require"));
    let problem = match auth {
        None if !require.is_empty() => {
            Problem::new("\"require\" needs an auth scheme: nobody is known")
        }
        Some(scheme) if require.needs_claims() && !names.schemes.at(scheme).has_claims => {
            Problem::new("nobody can have what is required: this auth scheme only knows names")
                .hint("scopes and claims other than \"sub\" need \"jwt\" or \"introspection\"")
        }
        _ => return require,
    };
    section.report(&section.key_span("require"), problem);
    require
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
    schemes: &NameIndex<SchemeUse>,
) -> Option<usize> {
    if name.value == "none" {
        return None;
    }
    let found = schemes.find(&name.value);
    if found.is_none() {
        let mut problem = Problem::new(format!("unknown auth scheme \"{}\"", name.value));
        problem.hint = schemes
            .suggest(&name.value)
            .or_else(|| Some("schemes are [auth_schemes.…] tables, or \"none\"".to_owned()));
        section.report(&name.span, problem);
    }
    found
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

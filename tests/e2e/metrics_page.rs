//! The pages of the admin listener; that of the metrics is one that OpenMetrics parsers take.

use std::collections::BTreeSet;

use crate::support::{Answer, Origin, Proxy, Request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Name, labels and value.
type Sample<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);

/// What a sample line says, if it is one.
fn parse(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
            && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
    };
    let pair = |pair: &str| -> Option<(usize, usize)> {
        let (label, value) = pair.split_once("=\"")?;
        let is_plain = !value.strip_suffix('"')?.contains(['"', '\\']);
        (is_name(label) && is_plain).then_some((label.len(), pair.len()))
    };
    let mut parsed = Vec::new();
    for text in labels.split(',').filter(|text| !text.is_empty()) {
        let (name_end, end) = pair(text)?;
        parsed.push((&text[..name_end], &text[name_end + 2..end - 1]));
    }
    Some((name, parsed, value.parse().ok()?)).filter(|(name, ..)| is_name(name))
}

/// A proxy that has something to say in every metric.
fn busy_proxy() -> (Proxy, Origin) {
    let origin = Origin::answering(OK);
    let proxy = Proxy::start(&origin.config());
    proxy.get("/").send();
    proxy.request("BREW", "/").send();
    proxy.wait_for_metric("proxy_requests_in_flight", 0.0);
    (proxy, origin)
}

#[test]
fn the_page_is_open_metrics() {
    let (proxy, _origin) = busy_proxy();

    let answer = proxy.admin("/metrics");
    let page = answer.text();

    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers("content-type"), [kind]);
    assert!(page.ends_with("\n# EOF\n") && page.matches("# EOF").count() == 1);
    let mut families = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut family = ("", "");
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            family = declared.split_once(' ').expect("has a type");
            assert!(families.insert(family.0), "{} is declared twice", family.0);
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|(_, text)| !text.is_empty()), "{line}");
        } else {
            let (name, labels, value) = parse(line).unwrap_or_else(|| panic!("{line}"));
            let suffixes: &[&str] = match family.1 {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "gauge" => &[""],
                other => panic!("an unknown type {other}"),
            };
            let suffix = name.strip_prefix(family.0).expect("stands under its family");
            assert!(suffixes.contains(&suffix), "{line} is no {}", family.1);
            assert!(value >= 0.0 && seen.insert((name, labels)), "{line}");
        }
    }
}

#[test]
fn buckets_grow_up_to_the_count() {
    let (proxy, _origin) = busy_proxy();
    let page = proxy.admin("/metrics").text();
    let parsed: Vec<_> = page.lines().filter_map(parse).collect();
    let buckets =
        parsed.iter().filter(|(name, ..)| *name == "proxy_request_duration_seconds_bucket");
    let buckets: Vec<(f64, f64)> = buckets
        .map(|(_, labels, count)| {
            let bound = labels.iter().find(|(label, _)| *label == "le").expect("has a bound").1;
            (bound.parse().expect("is a number"), *count)
        })
        .collect();

    assert!(buckets.len() > 2);
    assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, 2.0)));
}

#[test]
fn the_documented_metrics_are_there() {
    let (proxy, _origin) = busy_proxy();

    let page = proxy.admin("/metrics").text();

    for name in [
        "proxy_requests_total",
        "proxy_request_duration_seconds_bucket",
        "proxy_requests_in_flight",
        "proxy_request_bytes_total",
        "proxy_response_bytes_total",
        "proxy_upstream_requests_total",
        "proxy_upstream_connect_duration_seconds_bucket",
        "proxy_upstream_connections",
        "proxy_errors_total",
        "proxy_build_info",
    ] {
        assert!(page.contains(&format!("\n{name}")), "{name} is missing");
    }
}

fn ask_admin(proxy: &Proxy, method: &str, target: &str) -> Answer {
    Request::new(proxy.admin, method, target).send()
}

#[test]
fn the_admin_listener_knows_its_pages_and_methods() {
    let proxy = Proxy::start("");

    for (method, target, status) in [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/", 404),
        ("GET", "/metrics/more", 404),
        ("HEAD", "/metrics", 200),
        ("HEAD", "/livez", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/livez", 405),
    ] {
        let answer = ask_admin(&proxy, method, target);

        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.header("allow"), (status == 405).then_some("GET, HEAD"));
    }
}

#[test]
fn traffic_and_admin_pages_are_apart() {
    let proxy = Proxy::start("");

    for target in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(proxy.get(target).send().status, 404, "{target}");
    }
    proxy.wait_for_metric("proxy_errors_total{reason=\"no_route\"}", 3.0);
    assert_eq!(proxy.access_lines().iter().filter(|line| line["status"] == 200).count(), 0);
}

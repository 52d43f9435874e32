//! The order of the rooms of the proxy: a room may know those before it in the list, and no others. What
//! does so all the same stands among the exceptions, and that list may only get shorter.
//!
//! A room is a file or folder of `proxy/src`; stage files are a room of their own. Tests are left out.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// From the ground up.
const ORDER: [&str; 37] = [
    "scratch",
    "vitals",
    "error",
    "clock",
    "at_once",
    "framing",
    "config",
    "ids",
    "left",
    "bind",
    "balance",
    "limits",
    "retry",
    "telemetry",
    "request",
    "tls",
    "downstream",
    "headers",
    "upstream",
    "service",
    "record",
    "rate_limit",
    "routing",
    "reply",
    "auth",
    "gateway",
    "access",
    "health",
    "worker",
    "forward",
    "pipeline",
    "stages",
    "http2",
    "http1",
    "admin",
    "server",
    "cli",
];

/// A file, and a room that it knows though that stands above it.
const EXCEPTIONS: [(&str, &str); 27] = [
    ("auth/mod.rs", "worker"),
    ("downstream/arrival.rs", "upstream"),
    ("downstream/mod.rs", "http1"),
    ("downstream/mod.rs", "http2"),
    ("forward/mod.rs", "pipeline"),
    ("forward/tunnel.rs", "http1"),
    // The order of the stages stands above them, and what a stage is below.
    ("pipeline/mod.rs", "stages"),
    ("pipeline/observe.rs", "stages"),
    ("rate_limit/shared.rs", "worker"),
    ("record.rs", "auth"),
    ("record.rs", "forward"),
    ("record.rs", "pipeline"),
    ("record.rs", "rate_limit"),
    ("record.rs", "routing"),
    ("record.rs", "worker"),
    ("service/endpoint.rs", "health"),
    ("service/mod.rs", "health"),
    ("telemetry/access_log.rs", "headers"),
    ("telemetry/access_log.rs", "record"),
    ("telemetry/access_log.rs", "service"),
    ("telemetry/metrics.rs", "auth"),
    ("telemetry/metrics.rs", "forward"),
    ("telemetry/metrics.rs", "record"),
    ("tls/upstream.rs", "upstream"),
    ("upstream/request_body.rs", "record"),
    ("worker/mod.rs", "forward"),
    ("worker/mod.rs", "http2"),
];

/// Who knows actix-web, beside the rooms and stage files that are to; this list, too, may only get shorter.
const KNOW_ACTIX: [&str; 13] = [
    "access/mod.rs",
    "auth/forward.rs",
    "auth/keys.rs",
    "auth/mod.rs",
    "auth/refused.rs",
    "forward/attempt.rs",
    "forward/mirror.rs",
    "forward/mod.rs",
    "forward/outgoing.rs",
    "forward/redirect.rs",
    "reply.rs",
    "upstream/body.rs",
    "upstream/call.rs",
];
const MAY_KNOW_ACTIX: [&str; 6] = ["pipeline", "stages", "http1", "http2", "server", "admin"];

/// Rooms that are to know nothing of the thread or the request that they are used for.
const PURE: [&str; 4] = ["service", "balance", "limits", "retry"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files of the program by their path below `src`, with their code.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("can be read") {
        let path = entry.expect("can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("is text");
        if path.is_dir() {
            if name != "tests" {
                files(&path, found);
            }
            continue;
        }
        let is_of_tests = ["tests.rs", "contract.rs", "race.rs", "lazy.rs", "fuzz.rs"];
        if is_of_tests.contains(&name) || ["lib.rs", "main.rs"].contains(&name) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("is text");
        let below = path.strip_prefix(source()).expect("is below").to_str().expect("is text");
        found.push((below.to_owned(), code(&text)));
    }
}

/// Without comments, and without what only tests see.
fn code(text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let text = lines.join("\n");
    let mut parts = text.split("#[cfg(test)]");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| kept.push_str(behind_item(part)));
    kept
}

/// What follows the item that `text` begins with.
fn behind_item(text: &str) -> &str {
    let mut depth = 0;
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b';' if depth == 0 => return &text[place + 1..],
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return &text[place + 1..];
                }
            }
            _ => {}
        }
    }
    ""
}

fn room(file: &str) -> &str {
    if file.ends_with("/stage.rs") && !file.starts_with("pipeline/") {
        return "stages";
    }
    file.split('/').next().and_then(|first| first.split('.').next()).unwrap_or_default()
}

/// The rooms that are named in code: behind `crate::`, or first in the braces behind it.
fn known(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        match part.strip_prefix('{') {
            None => drop(rooms.insert(word(part).to_owned())),
            Some(list) => firsts(list, &mut rooms),
        }
    }
    rooms
}

fn firsts(list: &str, rooms: &mut BTreeSet<String>) {
    let (mut depth, mut is_first) = (0, true);
    for (place, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return,
            b'}' => depth -= 1,
            b',' if depth == 0 => is_first = true,
            byte if byte.is_ascii_alphabetic() && is_first && depth == 0 => {
                rooms.insert(word(&list[place..]).to_owned());
                is_first = false;
            }
            _ => {}
        }
    }
}

fn word(text: &str) -> &str {
    let end = text.find(|one: char| !(one.is_ascii_alphanumeric() || one == '_'));
    &text[..end.unwrap_or(text.len())]
}

fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    assert!(found.len() > 200, "the files are there");
    found
}

/// What a file knows beyond its own room; who names a stage function knows the stages.
fn known_by(file: &str, code: &str) -> BTreeSet<String> {
    let mut rooms = known(code);
    if code.contains("stage::{") || code.contains("::stage::") {
        let names_stages = file.starts_with("pipeline/");
        rooms.extend(names_stages.then(|| "stages".to_owned()));
    }
    rooms.remove(room(file));
    rooms
}

#[test]
fn a_room_knows_only_those_below_it() {
    let place = |room: &str| ORDER.iter().position(|one| *one == room);
    let mut above = BTreeSet::new();
    for (file, code) in &all() {
        let own = place(room(file)).unwrap_or_else(|| panic!("{file}: the room has no place"));
        for other in known_by(file, code) {
            if place(&other).is_some_and(|other| other > own) {
                above.insert((file.clone(), other));
            }
        }
    }
    let exceptions: BTreeSet<(String, String)> =
        EXCEPTIONS.iter().map(|(file, room)| ((*file).to_owned(), (*room).to_owned())).collect();
    let new: Vec<_> = above.difference(&exceptions).collect();
    assert!(new.is_empty(), "these know a room above their own: {new:?}");
    let over: Vec<_> = exceptions.difference(&above).collect();
    assert!(over.is_empty(), "these do so no more, and are no exceptions any more: {over:?}");
}

#[test]
fn only_some_rooms_know_actix_web() {
    let knows = |(file, code): &(String, String)| {
        (code.contains("actix_web") && !MAY_KNOW_ACTIX.contains(&room(file))).then(|| file.clone())
    };
    let found: BTreeSet<String> = all().iter().filter_map(knows).collect();
    let expected: BTreeSet<String> = KNOW_ACTIX.iter().map(|file| (*file).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_decides_knows_neither_the_thread_nor_the_request() {
    for (file, code) in &all() {
        if PURE.contains(&room(file)) {
            let known = known(code);
            for other in ["worker", "record"] {
                assert!(!known.contains(other), "{file} knows {other}");
            }
        }
    }
}

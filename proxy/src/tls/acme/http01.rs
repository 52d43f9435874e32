//! The proxy's answers to HTTP-01 (RFC 8555 section 8.3). Whoever ordered has put them into the
//! state's folder, so any process that shares it can answer.
//!
//! A request that is for no such file goes on as any other: an endpoint may have a challenge of its
//! own.

use std::path::{Path, PathBuf};

use actix_http::Method;

use super::{state::http_folder, token::Token};
use crate::tls::files;

const PREFIX: &str = "/.well-known/acme-challenge/";
/// A token, a dot and the thumbprint of a key.
const LONGEST_ANSWER: u64 = 512;

/// Where the answers lie.
pub struct HttpChallenges {
    folder: PathBuf,
}

impl HttpChallenges {
    pub fn new(state: &Path) -> Self {
        Self { folder: http_folder(state) }
    }

    /// The file that would hold the answer for `path`; `None` if none can.
    pub fn file(&self, path: &str, method: &Method) -> Option<PathBuf> {
        let token = Token::parse(path.strip_prefix(PREFIX)?)?;
        (method == Method::GET).then(|| self.folder.join(token.text()))
    }
}

/// The answer in a file; `None` if there is none. Blocks while the file is read.
pub fn answer(file: &Path) -> Option<String> {
    String::from_utf8(files::read_up_to(file, LONGEST_ANSWER).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn answered(root: &Path, path: &str) -> Option<String> {
        HttpChallenges::new(root).file(path, &Method::GET).and_then(|file| answer(&file))
    }

    fn root_with(token: &str, content: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder can be made");
        let folder = http_folder(root.path());
        fs::create_dir_all(&folder).expect("can be made");
        fs::write(folder.join(token), content).expect("can be written");
        fs::write(root.path().join("account.json"), "secret").expect("can be written");
        root
    }

    #[test]
    fn a_token_is_answered_with_what_its_file_holds() {
        let root = root_with("abc-_9", "abc-_9.thumb");
        let path = "/.well-known/acme-challenge/abc-_9";
        assert_eq!(answered(root.path(), path).as_deref(), Some("abc-_9.thumb"));
    }

    #[test]
    fn an_answer_is_for_get_alone() {
        let challenges = HttpChallenges::new(Path::new("/state"));
        for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
            assert_eq!(challenges.file("/.well-known/acme-challenge/abc", &method), None);
        }
    }

    #[test]
    fn no_other_path_is_answered() {
        let root = root_with("abc", "abc.thumb");
        for path in [
            "/",
            "/abc",
            "/.well-known/acme-challenge",
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/abd",
            "/.well-known/acme-challenge/abc/",
            "/.well-known/acme-challenge//abc",
            "/.WELL-KNOWN/acme-challenge/abc",
            "/x/.well-known/acme-challenge/abc",
            "/.well-known/acme-challenge/.",
            "/.well-known/acme-challenge/..",
            "/.well-known/acme-challenge/../http/abc",
            "/.well-known/acme-challenge/../../account.json",
            "/.well-known/acme-challenge/..%2f..%2faccount.json",
            "/.well-known/acme-challenge//etc/passwd",
        ] {
            assert_eq!(answered(root.path(), path), None, "{path}");
        }
    }

    #[test]
    fn an_answer_has_its_bound() {
        for (length, is_answered) in [(512, true), (513, false)] {
            let root = root_with("abc", &"x".repeat(length));
            let answer = answered(root.path(), "/.well-known/acme-challenge/abc");
            assert_eq!(answer.is_some(), is_answered, "{length}");
        }
    }
}

//! What each request gets: target and method to status and body.
//!
//! Targets are matched as sent, like the Python original matches `self.path`: a query or a
//! percent-encoded letter makes another target, which is a 404. (A fragment is cut off by
//! actix before it gets here; the original would refuse it.)
//!
//! Answers are JSON with fixed texts, except for the books themselves, which `json` prints and
//! `books` keeps. Where the original drops the connection, the answer is 400.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::body::{BodySize, MessageBody};
use actix_http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_http::{Method, Request, Response, StatusCode, Uri};
use actix_web::web::Bytes;
use futures_util::StreamExt;

use crate::books::{Books, ListFull, ServerLetter};
use crate::json;

/// Longest request body that is read, in bytes: 1 MiB.
pub const BODY_LIMIT: usize = 1 << 20;

/// Answers one request.
pub async fn answer(books: &Books, mut request: Request) -> Response<Pieces> {
    let Some(target) = raw_target(request.uri()).and_then(Target::parse) else {
        return not_found();
    };
    match (target, request.method()) {
        (Target::Books(server), &Method::GET | &Method::HEAD) => {
            respond(StatusCode::OK, books.list(server))
        }
        (Target::Books(server), &Method::POST) => match read_body(&mut request).await {
            Ok(body) => add_book(books, server, &body),
            Err(BodyError::TooLarge) => payload_too_large(),
            Err(BodyError::Broken) => bad_request(),
        },
        (Target::Health, &Method::GET | &Method::HEAD) => healthy(),
        // The original knows this target for GET only and has no 405.
        (Target::Health, &Method::POST) => not_found(),
        (Target::Books(_), _) => method_not_allowed("GET, HEAD, POST"),
        (Target::Health, _) => method_not_allowed("GET, HEAD"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Books(ServerLetter),
    Health,
}

impl Target {
    fn parse(raw: &str) -> Option<Self> {
        let (letter, leaf) = raw.strip_prefix("/server")?.as_bytes().split_first()?;
        let server = ServerLetter::parse(*letter)?;
        match leaf {
            b"/books" => Some(Self::Books(server)),
            b"/health" => Some(Self::Health),
            _ => None,
        }
    }
}

/// `None` for the absolute form (`GET http://host/…`), which the original does not know either.
fn raw_target(uri: &Uri) -> Option<&str> {
    match uri.scheme() {
        Some(_) => None,
        None => uri.path_and_query().map(|target| target.as_str()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum BodyError {
    TooLarge,
    Broken,
}

async fn read_body(request: &mut Request) -> Result<Vec<u8>, BodyError> {
    if declared_length(request) > BODY_LIMIT as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut payload = request.take_payload();
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// 0 for a chunked body, whose length shows only when it is read.
fn declared_length(request: &Request) -> u64 {
    request
        .head()
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

fn add_book(books: &Books, server: ServerLetter, body: &[u8]) -> Response<Pieces> {
    let book = match json::print_object(body) {
        Ok(object) if object.has_key("name") && object.has_key("author") => object.into_text(),
        Ok(_) | Err(json::Refused) => return bad_request(),
    };
    match books.append(server, &book) {
        Ok(()) => {
            let body = ["{\"book\": ", &book, "}"].concat();
            respond(StatusCode::CREATED, body.into())
        }
        Err(ListFull) => insufficient_storage(),
    }
}

fn healthy() -> Response<Pieces> {
    respond_fixed(StatusCode::OK, r#"{"status": "ok"}"#)
}

fn bad_request() -> Response<Pieces> {
    respond_fixed(StatusCode::BAD_REQUEST, r#"{"error": "bad request"}"#)
}

fn not_found() -> Response<Pieces> {
    respond_fixed(StatusCode::NOT_FOUND, r#"{"error": "not found"}"#)
}

fn method_not_allowed(allowed: &'static str) -> Response<Pieces> {
    let body = r#"{"error": "method not allowed"}"#;
    let mut response = respond_fixed(StatusCode::METHOD_NOT_ALLOWED, body);
    set(&mut response, ALLOW, allowed);
    response
}

fn payload_too_large() -> Response<Pieces> {
    let body = r#"{"error": "payload too large"}"#;
    respond_fixed(StatusCode::PAYLOAD_TOO_LARGE, body)
}

fn insufficient_storage() -> Response<Pieces> {
    let body = r#"{"error": "insufficient storage"}"#;
    respond_fixed(StatusCode::INSUFFICIENT_STORAGE, body)
}

fn respond_fixed(status: StatusCode, body: &'static str) -> Response<Pieces> {
    respond(status, Bytes::from_static(body.as_bytes()))
}

fn respond(status: StatusCode, body: Bytes) -> Response<Pieces> {
    let mut response = Response::with_body(status, Pieces(body));
    set(&mut response, CONTENT_TYPE, "application/json");
    response
}

fn set(response: &mut Response<Pieces>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

/// A body handed out in pieces. actix copies each piece whole into its write buffer, which for
/// plain `Bytes` would be a copy of the whole list for every reader.
#[derive(Debug)]
pub struct Pieces(Bytes);

const PIECE_BYTES: usize = 64 << 10;

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.0.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK: &[u8] = br#"{"name": "n", "author": "a"}"#;

    fn letter_a() -> ServerLetter {
        ServerLetter::parse(b'A').expect("holds in this test")
    }

    fn read(response: Response<Pieces>) -> (u16, String) {
        let status = response.status().as_u16();
        let Pieces(body) = response.into_body();
        (status, String::from_utf8(body.to_vec()).expect("holds in this test"))
    }

    #[test]
    fn only_the_exact_targets_of_the_original_are_known() {
        assert_eq!(Target::parse("/serverA/books"), Some(Target::Books(letter_a())));
        assert_eq!(Target::parse("/serverZ/health"), Some(Target::Health));
        for unknown in [
            "",
            "/",
            "/server",
            "/serverA",
            "/serverA/",
            "/servera/books",
            "/server1/books",
            "/serverAB/books",
            "/serverA/books/",
            "/serverA/books?",
            "/serverA/books?page=1",
            "/server%41/books",
            "/serverA//books",
            "//serverA/books",
            "serverA/books",
            "/serverA/Books",
            "/x/serverA/books",
        ] {
            assert_eq!(Target::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn book_that_does_not_fit_is_answered_507_and_not_kept() {
        let books = Books::with_limit(BOOK.len() + "[]".len());
        assert_eq!(read(add_book(&books, letter_a(), BOOK)).0, 201);
        assert_eq!(
            read(add_book(&books, letter_a(), BOOK)),
            (507, r#"{"error": "insufficient storage"}"#.to_owned())
        );
        assert_eq!(books.list(letter_a()).len(), BOOK.len() + "[]".len());
    }

    #[test]
    fn long_body_is_handed_out_in_bounded_pieces_and_whole() {
        let text: Vec<u8> = (0..PIECE_BYTES * 2 + 1).map(|n| n as u8).collect();
        let mut body = Pieces(Bytes::from(text.clone()));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut lengths = Vec::new();
        let mut whole = Vec::new();
        while let Poll::Ready(Some(Ok(piece))) = Pin::new(&mut body).poll_next(&mut context) {
            lengths.push(piece.len());
            whole.extend_from_slice(&piece);
        }
        assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 1]);
        assert_eq!(whole, text);
    }
}

//! The books of the servers A to Z: one list per server, in memory, shared by all workers.
//!
//! A list is kept as the JSON text that a GET answers, never as values, so a GET shares a
//! prepared buffer instead of building one. Relies on the books being printed already (`json`);
//! knows nothing of HTTP.
//!
//! Bound: the text of one list, [`LIST_LIMIT`] bytes. A list that is read after it has grown
//! is held twice, as the growing text and as the buffer that readers share.

use std::array;
use std::sync::{Mutex, MutexGuard};

use actix_web::web::Bytes;

/// Longest list of one server, in bytes of JSON text: 64 MiB.
pub const LIST_LIMIT: usize = 64 << 20;

const SERVERS: usize = 26;
const SEPARATOR: &[u8] = b", ";

/// One of the servers A to Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLetter(u8);

impl ServerLetter {
    /// `None` unless `letter` is an ASCII capital.
    pub fn parse(letter: u8) -> Option<Self> {
        letter.is_ascii_uppercase().then_some(Self(letter))
    }

    fn index(self) -> usize {
        usize::from(self.0 - b'A')
    }
}

/// The list has no room for the book.
#[derive(Debug, PartialEq, Eq)]
pub struct ListFull;

/// The lists of all servers.
pub struct Books {
    /// A lock for each list, because the growing text and the shared buffer change together.
    /// Held for a reference count by most reads, and for one copy of the list (64 MiB at most)
    /// by the first read after a change. One lock per letter keeps the servers independent.
    lists: [Mutex<List>; SERVERS],
    limit_bytes: usize,
}

impl Default for Books {
    fn default() -> Self {
        Self::with_limit(LIST_LIMIT)
    }
}

impl Books {
    /// Empty lists, each of at most `limit_bytes` of JSON text.
    pub fn with_limit(limit_bytes: usize) -> Self {
        Self { lists: array::from_fn(|_| Mutex::default()), limit_bytes }
    }

    /// The server's books as a JSON array.
    pub fn list(&self, server: ServerLetter) -> Bytes {
        self.locked(server).shared()
    }

    /// Appends a book, given as JSON text.
    ///
    /// # Errors
    /// [`ListFull`] if the list would outgrow its limit; the list is then as before.
    pub fn append(&self, server: ServerLetter, book: &str) -> Result<(), ListFull> {
        self.locked(server).append(book, self.limit_bytes)
    }

    fn locked(&self, server: ServerLetter) -> MutexGuard<'_, List> {
        self.lists[server.index()].lock().expect("no code panics while it holds a list")
    }
}

#[derive(Default)]
struct List {
    /// The books with separators between them, without the brackets.
    text: Vec<u8>,
    /// `text` in brackets, until the next append.
    shared: Option<Bytes>,
}

impl List {
    fn shared(&mut self) -> Bytes {
        let text = &self.text;
        self.shared.get_or_insert_with(|| [b"[", text.as_slice(), b"]"].concat().into()).clone()
    }

    fn append(&mut self, book: &str, limit_bytes: usize) -> Result<(), ListFull> {
        let separator = if self.text.is_empty() { b"".as_slice() } else { SEPARATOR };
        let brackets = 2;
        if self.text.len() + separator.len() + book.len() + brackets > limit_bytes {
            return Err(ListFull);
        }
        self.text.extend_from_slice(separator);
        self.text.extend_from_slice(book.as_bytes());
        self.shared = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(letter: char) -> ServerLetter {
        ServerLetter::parse(letter as u8).expect("holds in this test")
    }

    #[test]
    fn only_capital_letters_name_a_server() {
        let named: Vec<u8> =
            (0..=u8::MAX).filter(|byte| ServerLetter::parse(*byte).is_some()).collect();
        assert_eq!(named, (b'A'..=b'Z').collect::<Vec<_>>());
    }

    #[test]
    fn new_list_is_an_empty_array() {
        assert_eq!(Books::default().list(server('A')), "[]");
    }

    #[test]
    fn books_are_listed_in_the_order_they_came() {
        let books = Books::default();
        for book in [r#"{"n": 1}"#, r#"{"n": 2}"#, r#"{"n": 3}"#] {
            books.append(server('Z'), book).expect("holds in this test");
        }
        assert_eq!(books.list(server('Z')), r#"[{"n": 1}, {"n": 2}, {"n": 3}]"#);
    }

    #[test]
    fn list_read_between_two_appends_shows_both() {
        let books = Books::default();
        books.append(server('A'), "{}").expect("holds in this test");
        assert_eq!(books.list(server('A')), "[{}]");
        books.append(server('A'), "{}").expect("holds in this test");
        assert_eq!(books.list(server('A')), "[{}, {}]");
    }

    #[test]
    fn servers_do_not_share_books() {
        let books = Books::default();
        books.append(server('A'), "{}").expect("holds in this test");
        assert_eq!(books.list(server('B')), "[]");
    }

    #[test]
    fn unchanged_list_is_shared_and_not_copied() {
        let books = Books::default();
        books.append(server('A'), "{}").expect("holds in this test");
        let (first, second) = (books.list(server('A')), books.list(server('A')));
        assert_eq!(first.as_ptr(), second.as_ptr());
    }

    #[test]
    fn list_may_grow_to_its_limit_and_not_by_one_byte_more() {
        let books = Books::with_limit("[{}, {}]".len());
        books.append(server('A'), "{}").expect("holds in this test");
        assert_eq!(books.append(server('A'), "{ }"), Err(ListFull));
        books.append(server('A'), "{}").expect("holds in this test");
        assert_eq!(books.append(server('A'), "{}"), Err(ListFull));
        assert_eq!(books.list(server('A')), "[{}, {}]");
    }

    #[test]
    fn full_list_leaves_room_in_the_others() {
        let books = Books::with_limit("[{}]".len());
        books.append(server('A'), "{}").expect("holds in this test");
        assert_eq!(books.append(server('A'), "{}"), Err(ListFull));
        assert_eq!(books.append(server('B'), "{}"), Ok(()));
    }
}

//! Text that no message, log, metric or answer shows: written in place (best from a variable), or
//! `{ file = "…" }`, as secrets are handed to containers.

use std::{
    fmt,
    fs::{self, File},
    io::Read,
    path::Path,
};

use toml::{Spanned, de::DeValue};

use super::{
    auth::check_token,
    error::Problem,
    expand::{expand, expand_secret},
    section::Reader,
    value::Value,
};

/// Of a file with a secret, in bytes.
const LARGEST_FILE: u64 = 64 << 10;

#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The token that a file has.
    ///
    /// # Errors
    /// Why there is none, without what was read.
    pub fn token_from_file(path: &Path) -> Result<Self, String> {
        let read = read_file(path).and_then(|text| check_token(&text).map(|()| text));
        read.map(Self).map_err(|problem| problem.message)
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Value for Secret {
    const IS_SECRET: bool = true;

    fn read(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Result<Self, Problem> {
        // What was written instead is not shown: it may be the secret all the same.
        let expected = || {
            Problem::new("expected a string, or { file = \"…\" }")
                .hint("for example \"${TOKEN}\", or { file = \"/run/secrets/token\" }")
        };
        let text = match value.get_ref() {
            DeValue::String(text) => expand_secret(text, reader.variables)?,
            DeValue::Table(table) if table.len() == 1 => {
                let path = table.get("file").ok_or_else(expected)?;
                let DeValue::String(path) = path.get_ref() else { return Err(expected()) };
                read_file(Path::new(&expand(path, reader.variables)?))?
            }
            _ => return Err(expected()),
        };
        if text.is_empty() { Err(Problem::new("the secret is empty")) } else { Ok(Self(text)) }
    }
}

/// The text of a file without the end of its last line.
pub(super) fn read_file(path: &Path) -> Result<String, Problem> {
    let refused = |why: &dyn fmt::Display| {
        let path = path.display();
        Problem::new(format!("\"{path}\" cannot be read: {why}"))
    };
    // Before it is opened: who opens a pipe waits for its other end.
    match fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(refused(&"it is not a regular file")),
        Err(error) => return Err(refused(&error)),
    }
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
    read.map_err(|error| refused(&error))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(refused(&"it is larger than 64KiB"));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

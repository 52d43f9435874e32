//! `type = "basic"` (RFC 7617): a file of `name:hash` lines, as `htpasswd -B` writes them, or with
//! argon2 hashes.

use std::{fmt, path::Path};

use argon2::password_hash::phc;

use crate::config::{error::Problem, secret::read_file, section::Section};

/// A hash that costs more than this would let a few guesses take a core (bcrypt), or all memory
/// (argon2, in KiB).
const MOST_BCRYPT_COST: u32 = 15;
const MOST_ARGON2_KIB: u32 = 256 << 10;

#[derive(Clone, Debug)]
pub struct BasicConfig {
    /// Sorted by name, each name once; never empty.
    pub users: Vec<User>,
    /// Shown by browsers when they ask for the password.
    pub realm: String,
}

#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub hash: PasswordHash,
}

/// A hash that was found to be well formed.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordHash {
    /// `$argon2id$…`, or argon2i, argon2d.
    Argon2(String),
    /// `$2b$…`, or 2a, 2y.
    Bcrypt(String),
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl BasicConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let realm = section.or::<String>("realm", "proxy".to_owned());
        if realm
            .bytes()
            .any(|byte| !(byte == b' ' || byte.is_ascii_graphic()) || b"\"\\".contains(&byte))
        {
            let problem = Problem::new("a realm is printable ASCII without \\ and quotes");
            section.report(&section.key_span("realm"), problem);
        }
        let file = section.require::<String>("users")?;
        if file.value.contains(":$") {
            let problem = Problem::new("\"users\" names a file").hint("with name:hash lines");
            section.report(&file.span, problem);
            return None;
        }
        match read_file(Path::new(&file.value)).and_then(|text| parse(&text, &file.value)) {
            Ok(users) => Some(Self { users, realm }),
            Err(problem) => {
                section.report(&file.span, problem);
                None
            }
        }
    }
}

fn parse(text: &str, file: &str) -> Result<Vec<User>, Problem> {
    let mut users: Vec<User> = Vec::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refused = |why: &str| Problem::new(format!("\"{file}\" line {number}: {why}"));
        let (name, hash) = line.split_once(':').ok_or_else(|| {
            refused("expected name:hash").hint("for example from: htpasswd -nB name")
        })?;
        if name.is_empty() || name.contains(char::is_control) {
            return Err(refused("the name is empty, or has control characters"));
        }
        if users.iter().any(|user| user.name == name) {
            return Err(refused("the name stands above"));
        }
        let hash = PasswordHash::parse(hash).map_err(refused)?;
        users.push(User { name: name.to_owned(), hash });
    }
    if users.is_empty() {
        return Err(Problem::new(format!("\"{file}\" names no user")));
    }
    users.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(users)
}

impl PasswordHash {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "the hash must be argon2 ($argon2id$…) or bcrypt ($2b$…)";
        if text.starts_with("$argon2") {
            let hash = phc::PasswordHash::new(text).map_err(|_| EXPECTED)?;
            if hash.hash.is_none() {
                return Err("the argon2 hash is not whole");
            }
            let params = argon2::Params::try_from(&hash).map_err(|_| EXPECTED)?;
            if params.m_cost() > MOST_ARGON2_KIB || params.t_cost() > 64 {
                return Err("the argon2 hash costs more than 256 MiB or 64 rounds");
            }
            return Ok(Self::Argon2(text.to_owned()));
        }
        let parts: bcrypt::HashParts = text.parse().map_err(|_| EXPECTED)?;
        if parts.get_cost() > MOST_BCRYPT_COST {
            return Err("the bcrypt hash has a cost above 15");
        }
        Ok(Self::Bcrypt(text.to_owned()))
    }
}

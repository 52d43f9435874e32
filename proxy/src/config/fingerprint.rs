//! Whether two sections say the same, wherever they stand and in whatever order their keys do: a hash
//! of a table after `${VAR}`, with the contents of the files that it names.

use std::{
    fs::{self, File},
    io::{self, Read},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use xxhash_rust::xxh3::Xxh3;

use super::{expand::expand_secret, section::Lookup};

/// Equal for sections that say the same; for others it differs, but for chance in 2¹²⁸.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(u128);

/// Keys whose values name files.
const FILES: [&str; 7] = ["file", "ca", "cert", "key", "client_ca", "client_cert", "client_key"];
/// Bytes of a file that count; what is longer is refused elsewhere, or a bundle of roots.
const LONGEST_FILE: u64 = 1 << 20;

/// Takes one after the other what a fingerprint is of.
pub(super) struct Hasher<'a> {
    state: Xxh3,
    variables: Lookup<'a>,
}

impl<'a> Hasher<'a> {
    pub(super) fn new(variables: Lookup<'a>) -> Self {
        Self { state: Xxh3::new(), variables }
    }

    pub(super) fn finish(&self) -> Fingerprint {
        Fingerprint(self.state.digest128())
    }

    pub(super) fn fingerprint(&mut self, of: Fingerprint) {
        self.bytes(&of.0.to_le_bytes());
    }

    /// Pieces are told apart by their lengths.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.state.update(&(bytes.len() as u64).to_le_bytes());
        self.state.update(bytes);
    }

    pub(super) fn table(&mut self, table: &DeTable<'_>) {
        let mut entries: Vec<(&str, &Spanned<DeValue<'_>>)> =
            table.iter().map(|(key, value)| (key.get_ref().as_ref(), value)).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        self.bytes(b"table");
        self.state.update(&(entries.len() as u64).to_le_bytes());
        for (key, value) in entries {
            self.bytes(key.as_bytes());
            self.value(key, value.get_ref());
        }
    }

    /// `key` is what the value stands under.
    pub(super) fn value(&mut self, key: &str, value: &DeValue<'_>) {
        match value {
            DeValue::String(text) => {
                // What cannot be expanded is refused by who reads it.
                let text = expand_secret(text, self.variables).unwrap_or_else(|_| text.to_string());
                self.bytes(b"text");
                self.bytes(text.as_bytes());
                if FILES.contains(&key) {
                    self.file(&text);
                }
            }
            DeValue::Integer(number) => {
                let value = i128::from_str_radix(number.as_str(), number.radix());
                let text = value.map_or_else(|_| number.to_string(), |value| value.to_string());
                self.bytes(format!("integer {text}").as_bytes());
            }
            DeValue::Float(number) => self.bytes(format!("float {number}").as_bytes()),
            DeValue::Boolean(is) => self.bytes(if *is { b"true" } else { b"false" }),
            DeValue::Datetime(time) => self.bytes(format!("time {time}").as_bytes()),
            DeValue::Array(items) => {
                self.bytes(b"array");
                self.state.update(&(items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| self.value(key, item.get_ref()));
            }
            DeValue::Table(table) => self.table(table),
        }
    }

    fn file(&mut self, path: &str) {
        match read(path) {
            Ok(contents) => self.bytes(&contents),
            Err(error) => self.bytes(error.kind().to_string().as_bytes()),
        }
    }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    // A pipe gives what is in it once, to who reads the configuration.
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut contents = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, variables: Lookup<'_>) -> Fingerprint {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{text}");
        let mut hasher = Hasher::new(variables);
        hasher.table(table.get_ref());
        hasher.finish()
    }

    fn none(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn what_says_the_same_is_the_same() {
        let one = "a = 1\nb = { c = [\"x\", true], d = 1.5 }\n";
        let other = "# a remark\nb.d = 1.5\nb.c = [\n \"x\",\n true,\n]\na = 0x1\n";
        assert_eq!(of(one, &none), of(other, &none));
        let variable = |name: &str| (name == "X").then(|| "x".to_owned());
        assert_eq!(of(&one.replace("\"x\"", "\"${X}\""), &variable), of(one, &none));
    }

    #[test]
    fn what_says_something_else_differs() {
        let texts = [
            "",
            "a = 1",
            "a = 2",
            "a = \"1\"",
            "a = [1]",
            "a = [[1]]",
            "a = [1, 1]",
            "a = true",
            "a = \"true\"",
            "b = 1",
            "a = { b = 1 }",
            "a = {}\nb = 1",
            "a = \"b\"\nc = \"d\"",
            "a = \"bc\"\nd = \"\"",
        ];
        for (place, one) in texts.iter().enumerate() {
            for other in &texts[place + 1..] {
                assert_ne!(of(one, &none), of(other, &none), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_file_counts_by_what_is_in_it() {
        let folder = tempfile::tempdir().expect("can be made");
        let path = folder.path().join("ca.pem");
        let text = format!("tls = {{ ca = \"{}\" }}", path.display());
        let missing = of(&text, &none);
        fs::write(&path, "one").expect("can be written");
        let first = of(&text, &none);
        fs::write(&path, "two").expect("can be written");
        let second = of(&text, &none);
        fs::write(&path, "one").expect("can be written");
        assert!(first != second && first != missing && second != missing);
        assert_eq!(of(&text, &none), first);
    }

    #[test]
    fn a_pipe_is_left_to_who_reads_the_configuration() {
        let folder = tempfile::tempdir().expect("can be made");
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("can be made");
        // To open it would wait for somebody who writes.
        of(&format!("tls = {{ ca = \"{}\" }}", path.display()), &none);
    }
}

//! Reads one table of the file key by key, and remembers which keys it asked for: what is left
//! at the end is unknown. Mistakes are collected, never returned early, so that one run of
//! `check` shows all of them.

use std::{cell::RefCell, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{ConfigError, Located, Problem, Source, did_you_mean},
    fingerprint::{Fingerprint, Hasher},
    value::{Value, expected_of},
};

/// Looks a variable up for `${VAR}`.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Keys of the file that stand in no table. TOML gives those below a table to that table.
pub(super) const TOP_LEVEL: [&str; 12] = [
    "server",
    "log",
    "listeners",
    "acme",
    "admin",
    "auth_schemes",
    "auth",
    "security_headers",
    "services",
    "rate_limits",
    "redis",
    "routes",
];
const ABOVE_ALL_TABLES: &str = "a key of the top level: it belongs above the first table";

/// What all sections of one file share.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    pub(super) variables: Lookup<'a>,
    errors: RefCell<Vec<ConfigError>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, variables: Lookup<'a>) -> Self {
        Self { source: Source::new(text), variables, errors: RefCell::default() }
    }

    pub(super) fn report(&self, span: &Range<usize>, problem: Problem) {
        let position = self.source.position(span.start);
        let Problem { message, hint } = problem;
        self.errors.borrow_mut().push(ConfigError { position, message, hint });
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }
}

/// One table.
pub(super) struct Section<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) span: Range<usize>,
    /// As written between brackets: `services.books`; empty for the top level.
    pub(super) name: String,
    table: &'a DeTable<'a>,
    known: Vec<&'static str>,
    /// Reported already, or not there.
    refused: Vec<&'static str>,
}

/// What can be written short, as a value, or as a table that says more.
pub(super) enum ValueOrTable<'a, T> {
    Value(Located<T>),
    Table(Section<'a>),
}

impl<'a> Section<'a> {
    pub(super) fn new(
        reader: &'a Reader<'a>,
        name: String,
        table: &'a DeTable<'a>,
        span: Range<usize>,
    ) -> Self {
        Self { reader, span, name, table, known: Vec::new(), refused: Vec::new() }
    }

    /// The value of `key`; `None` if it is absent, or wrong and reported.
    pub(super) fn get<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
        let value = self.raw(key)?;
        read(self.reader, value)
    }

    pub(super) fn or<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.get(key).map_or(default, |located| located.value)
    }

    /// Like `get`, but absence is a mistake.
    pub(super) fn require<T: Value>(&mut self, key: &'static str) -> Option<Located<T>> {
        self.must_have(key);
        self.get(key)
    }

    /// Reports that `key` is absent, if it is.
    pub(super) fn must_have(&self, key: &'static str) {
        if !self.has(key) {
            let problem = Problem::new(format!("{} needs \"{key}\"", self.title()));
            self.reader.report(&self.span, problem);
        }
    }

    /// A key that others of the kind have, and this section must not.
    pub(super) fn refuse(&mut self, key: &'static str, problem: Problem) {
        self.refused.push(key);
        if self.has(key) {
            self.reader.report(&self.key_span(key), problem);
        }
    }

    /// Keys that have been judged without being read.
    pub(super) fn know(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// The value or table under `key`.
    pub(super) fn value_or_table<T: Value>(
        &mut self,
        key: &'static str,
    ) -> Option<ValueOrTable<'a, T>> {
        let value = self.raw(key)?;
        self.as_value_or_table(key, value)
    }

    /// The items of the array under `key`, each `None` if it is wrong and reported; `None` if there
    /// is no array.
    pub(super) fn values_or_tables<T: Value>(
        &mut self,
        key: &'static str,
    ) -> Option<Vec<Option<ValueOrTable<'a, T>>>> {
        let value = self.raw(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.reader.report(&value.span(), expected_of::<T>("an array", value));
            return None;
        };
        Some(items.iter().map(|item| self.as_value_or_table(key, item)).collect())
    }

    /// The table under `key`.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.raw(key)?;
        self.as_section(key, value)
    }

    /// The tables of the array of tables under `key`; `None` if the key is absent.
    pub(super) fn sections(&mut self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let value = self.raw(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            let written = self.path_of(key);
            let message = format!("\"{key}\" must be an array of tables, written [[{written}]]");
            self.reader.report(&value.span(), Problem::new(message));
            return Some(Vec::new());
        };
        Some(items.iter().filter_map(|item| self.as_section(key, item)).collect())
    }

    /// The tables under `key` by name: `[key.name]`.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(Located<String>, Self)> {
        let Some(outer) = self.section(key) else {
            return Vec::new();
        };
        let entries = outer.table.iter().filter_map(|(name, value)| {
            let section = outer.as_section(name.get_ref(), value)?;
            let name = Located { value: name.get_ref().to_string(), span: name.span() };
            Some((name, section))
        });
        entries.collect()
    }

    /// All entries as they are, for tables whose keys are the user's.
    pub(super) fn entries<T: Value>(self) -> Vec<(Located<String>, Located<T>)> {
        let entries = self.table.iter().filter_map(|(key, value)| {
            let name = Located { value: key.get_ref().to_string(), span: key.span() };
            Some((name, read(self.reader, value)?))
        });
        entries.collect()
    }

    /// The table under `key`, for a look ahead: `key` is left to be read, and so are its mistakes.
    pub(super) fn peek(&self, key: &str) -> Option<Section<'a>> {
        let value = self.table.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            return None;
        };
        Some(Section::new(self.reader, self.path_of(key), table, value.span()))
    }

    /// The text under `key`, for a look ahead: variables are not expanded.
    pub(super) fn peek_text(&self, key: &str) -> Option<&'a str> {
        match self.table.get(key)?.get_ref() {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the file has `key` here.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// How many items the array under `key` has, right or wrong; `None` if there is no array.
    pub(super) fn array_length(&self, key: &str) -> Option<usize> {
        match self.table.get(key).map(|value| value.get_ref()) {
            Some(DeValue::Array(items)) => Some(items.len()),
            _ => None,
        }
    }

    pub(super) fn is_empty_array(&self, key: &str) -> bool {
        self.array_length(key) == Some(0)
    }

    /// Where `key` stands.
    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        let entry = self.table.get_key_value(key);
        entry.map_or_else(|| self.span.clone(), |(key, _)| key.span())
    }

    pub(super) fn report(&self, span: &Range<usize>, problem: Problem) {
        self.reader.report(span, problem);
    }

    /// Of all that stands in it.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hasher = Hasher::new(self.reader.variables);
        hasher.table(self.table);
        hasher.finish()
    }

    /// Of what stands under some of its keys.
    pub(super) fn fingerprint_of(&self, keys: &[&str]) -> Fingerprint {
        let mut hasher = Hasher::new(self.reader.variables);
        for key in keys {
            hasher.bytes(key.as_bytes());
            if let Some(value) = self.table.get(*key) {
                hasher.value(key, value.get_ref());
            }
        }
        hasher.finish()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) && !self.refused.contains(&name) {
                let mut problem =
                    Problem::new(format!("unknown key \"{name}\" in {}", self.title()));
                let belongs_elsewhere = TOP_LEVEL.contains(&name) && !self.name.is_empty();
                let guess = || did_you_mean(name, self.known.iter().copied());
                problem.hint = belongs_elsewhere
                    .then(|| ABOVE_ALL_TABLES.to_owned())
                    .or_else(guess)
                    .or_else(|| self.known_keys());
                self.reader.report(&key.span(), problem);
            }
        }
    }

    fn known_keys(&self) -> Option<String> {
        (!self.known.is_empty()).then(|| format!("known: {}", self.known.join(", ")))
    }

    pub(super) fn title(&self) -> String {
        match self.name.as_str() {
            "" => "the top level".to_owned(),
            name => format!("[{name}]"),
        }
    }

    fn raw(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn as_section(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let DeValue::Table(table) = value.get_ref() else {
            let message = format!("\"{key}\" must be a table");
            self.reader.report(&value.span(), Problem::new(message));
            return None;
        };
        Some(Section::new(self.reader, self.path_of(key), table, value.span()))
    }

    fn as_value_or_table<T: Value>(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Option<ValueOrTable<'a, T>> {
        if matches!(value.get_ref(), DeValue::Table(_)) {
            return self.as_section(key, value).map(ValueOrTable::Table);
        }
        read(self.reader, value).map(ValueOrTable::Value)
    }

    /// The name of the section that `key` of this one would be.
    fn path_of(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            outer => format!("{outer}.{key}"),
        }
    }
}

fn read<T: Value>(reader: &Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Located<T>> {
    match T::read(reader, value) {
        Ok(read) => Some(Located { value: read, span: value.span() }),
        Err(problem) => {
            reader.report(&value.span(), problem);
            None
        }
    }
}

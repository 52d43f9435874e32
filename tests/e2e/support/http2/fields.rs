//! The fields of a request, in any order and of any bytes.

use super::hpack;

/// A header list.
#[derive(Clone, Debug)]
pub struct Fields(Vec<(Vec<u8>, Vec<u8>)>);

impl Fields {
    /// No field at all.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// What every request has: `:authority` is `a.test`, `:scheme` is `http`.
    pub fn new(method: &str, path: &str) -> Self {
        let fields = Self::none().with(":method", method).with(":scheme", "http");
        fields.with(":authority", "a.test").with(":path", path)
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// One more field behind the others.
    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Other fields than those of that name.
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name.as_bytes());
        self
    }

    /// Another value in place of the one of that name.
    pub fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let field = self.0.iter_mut().find(|(known, _)| known == name.as_bytes());
        field.expect("has the field").1 = value.as_ref().to_vec();
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    /// As literals.
    pub fn block(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(name, value)| hpack::literal(name, value)).collect()
    }
}

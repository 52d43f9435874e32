//! Who signs tokens, and an origin that hands out its public keys.

use std::{
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::Origin;

/// An ECDSA key with an id.
pub struct SigningKey {
    pub id: String,
    pair: KeyPair,
}

/// The origin of a key set that can change, or be away.
pub struct KeyServer {
    pub origin: Origin,
    keys: Arc<Mutex<Option<String>>>,
}

impl SigningKey {
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: KeyPair::generate().expect("a key can be made") }
    }

    /// The public key in PEM.
    pub fn public_pem(&self) -> String {
        self.pair.public_key_pem()
    }

    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        self.sign_with(&header, claims)
    }

    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.encoding()).expect("can be signed")
    }

    fn encoding(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).expect("is a key")
    }

    fn public_json(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding(), Algorithm::ES256).expect("is a key");
        let mut json = serde_json::to_value(jwk).expect("is JSON");
        json["kid"] = json!(self.id);
        json["use"] = json!("sig");
        json
    }
}

impl KeyServer {
    pub fn start(keys: &[&SigningKey]) -> Self {
        let text = Arc::new(Mutex::new(None::<String>));
        let given = Arc::clone(&text);
        let origin = Origin::start(move |exchange| {
            while let Some(_head) = exchange.request() {
                let text = given.lock().expect("no panic").clone();
                exchange.write(match text {
                    Some(text) => format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                         Content-Length: {}\r\n\r\n{text}",
                        text.len()
                    ),
                    None => "HTTP/1.1 500 Down\r\nContent-Length: 0\r\n\r\n".to_owned(),
                });
            }
        });
        let server = Self { origin, keys: text };
        server.publish(keys);
        server
    }

    /// From now on these are the keys.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public_json()).collect();
        *self.keys.lock().expect("no panic") = Some(json!({ "keys": keys }).to_string());
    }

    /// From now on it answers 500.
    pub fn go_down(&self) {
        *self.keys.lock().expect("no panic") = None;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.origin.heads().len()
    }
}

/// Seconds since 1970, and some more or less.
pub fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is later").as_secs();
    i64::try_from(now).expect("is not so late") + from_now
}

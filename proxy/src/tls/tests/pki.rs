//! Certificates and keys that tests need, made on the spot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, RsaKeySize, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::der_parser::der::parse_der;

/// A certificate with its key, in PEM.
pub(super) struct Made {
    pub(super) cert: String,
    pub(super) key: String,
}

/// Where the files of a test lie.
pub(super) struct Folder(tempfile::TempDir);

/// A CA that signs the certificates of clients.
pub(super) struct Ca {
    pub(super) cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Folder {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(super) fn write(&self, file: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        fs::write(&path, content).expect("is written");
        path
    }

    pub(super) fn write_pair(&self, name: &str, made: &Made) {
        self.write(&format!("{name}.cert"), &made.cert);
        self.write(&format!("{name}.key"), &made.key);
    }
}

impl Made {
    pub(super) fn both(&self) -> String {
        format!("{}{}", self.key, self.cert)
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("is PEM")
    }

    pub(super) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("is PEM")
    }
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("is generated");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).expect("is signed").pem();
        Self { cert, issuer: Issuer::new(params, key) }
    }

    /// For a client.
    pub(super) fn sign(&self, name: &str) -> Made {
        let key = KeyPair::generate().expect("is generated");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let cert = params.signed_by(&key, &self.issuer).expect("is signed");
        Made { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// Good until the year 2100, with an ECDSA key.
pub(super) fn signed_by_itself(names: &[&str]) -> Made {
    with_key(names, &KeyPair::generate().expect("is generated"))
}

pub(super) fn with_rsa_key(names: &[&str]) -> Made {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
    with_key(names, &key.expect("is generated"))
}

/// As a CA is shown one (RFC 8737 section 3).
pub(super) fn challenge(name: &str) -> Made {
    let key = KeyPair::generate().expect("is generated");
    let mut params = params(&[name]);
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&[7; 32])];
    let cert = params.self_signed(&key).expect("is signed");
    Made { cert: cert.pem(), key: key.serialize_pem() }
}

/// That ends this many days after the beginning of 1970.
pub(super) fn until_day(names: &[&str], days: u8) -> Made {
    let key = KeyPair::generate().expect("is generated");
    let mut params = params(names);
    params.not_after = date_time_ymd(1970, 1, 1 + days);
    let cert = params.self_signed(&key).expect("is signed");
    Made { cert: cert.pem(), key: key.serialize_pem() }
}

fn with_key(names: &[&str], key: &KeyPair) -> Made {
    let cert = params(names).self_signed(key).expect("is signed");
    Made { cert: cert.pem(), key: key.serialize_pem() }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("are names");
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}

/// The key inside of PKCS#8, in its older form: PKCS#1 or SEC1.
pub(super) fn inside(pkcs8: &[u8]) -> Vec<u8> {
    let (_, outer) = parse_der(pkcs8).expect("is DER");
    let parts = outer.as_sequence().expect("is a sequence");
    parts[2].as_slice().expect("is an octet string").to_vec()
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = der.chunks(3).map(|three| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        let digit = |at: usize| match at <= three.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * at) & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    });
    let lines: Vec<String> = text.collect::<Vec<_>>().chunks(16).map(<[String]>::concat).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

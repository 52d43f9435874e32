//! What is said of files that cannot be used, and where.

use rustls::pki_types::PrivateKeyDer;

use super::{
    World,
    client::Client,
    pki::{self, Ca},
};
use crate::config::ClientCertificates;

/// The only mistake: its line, and what is said.
fn only(world: &World) -> (usize, String) {
    let mistakes = world.mistakes();
    let [mistake] = mistakes.as_slice() else { panic!("{mistakes:?}") };
    let folder = world.folder.path("").display().to_string();
    let text = format!("{} ({})", mistake.message, mistake.hint.as_deref().unwrap_or_default());
    (mistake.position.line, text.replace(&folder, ""))
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_at_its_place() {
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let made = pki::signed_by_itself(&["a.test"]);
    let not_x509 = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let second = format!("{}{not_x509}", made.cert);
    for (content, expected) in [
        (
            b"".to_vec(),
            "\"a.test.cert\" is empty (write it again: each block has a BEGIN and an END line)",
        ),
        (
            b"hello".to_vec(),
            "\"a.test.cert\" has no certificate in PEM \
             (it needs a block that starts with -----BEGIN CERTIFICATE-----)",
        ),
        (
            made.key.clone().into_bytes(),
            "\"a.test.cert\" has no certificate in PEM \
             (it needs a block that starts with -----BEGIN CERTIFICATE-----)",
        ),
        (
            cut(&made.cert).into_bytes(),
            "\"a.test.cert\" is not whole PEM \
             (write it again: each block has a BEGIN and an END line)",
        ),
        (
            not_x509.into(),
            "\"a.test.cert\" has a certificate that is not valid X.509: number 1 \
             (ask whoever signed it for a whole one)",
        ),
        (
            second.into_bytes(),
            "\"a.test.cert\" has a certificate that is not valid X.509: number 2 \
             (ask whoever signed it for a whole one)",
        ),
        (
            made.der().to_vec(),
            "\"a.test.cert\" has no certificate in PEM \
             (it looks like DER: openssl x509 -inform der -in \"a.test.cert\" -out cert.pem)",
        ),
        (
            vec![b'a'; (1 << 20) + 1],
            "\"a.test.cert\" is larger than 1 MiB (name the PEM file itself)",
        ),
    ] {
        let world = World::with(&["a.test", "b.test"]);
        world.folder.write("a.test.cert", content);
        assert_eq!(only(&world), (1, expected.to_owned()));
    }
}

#[test]
fn what_is_wrong_with_a_key_is_said_at_its_place_and_nothing_of_it_is_shown() {
    let made = pki::signed_by_itself(&["a.test"]);
    let relabelled = |label: &str| made.key.replace("PRIVATE KEY", label);
    let secret = made.key.lines().nth(1).expect("has a line").to_owned();
    let old_cipher = made.key.replace("PRIVATE KEY", "RSA PRIVATE KEY").replacen(
        '\n',
        "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
        1,
    );
    for (content, expected) in [
        (
            String::new(),
            "\"a.test.key\" is empty (write it again: each block has a BEGIN and an END line)",
        ),
        (
            made.cert.clone(),
            "\"a.test.key\" has no private key in PEM \
             (it needs a block that starts with -----BEGIN PRIVATE KEY-----)",
        ),
        (
            made.key.replace("-----END", ""),
            "\"a.test.key\" is not whole PEM \
             (write it again: each block has a BEGIN and an END line)",
        ),
        (
            made.key.replacen('M', "*", 1),
            "\"a.test.key\" is not whole PEM \
             (write it again: each block has a BEGIN and an END line)",
        ),
        (
            relabelled("ENCRYPTED PRIVATE KEY"),
            "\"a.test.key\" has an encrypted private key \
             (decrypt it: openssl pkey -in \"a.test.key\" -out key.pem)",
        ),
        (
            old_cipher,
            "\"a.test.key\" has an encrypted private key \
             (decrypt it: openssl pkey -in \"a.test.key\" -out key.pem)",
        ),
        (
            relabelled("RSA PRIVATE KEY"),
            "\"a.test.key\" has a private key of a kind that cannot be used \
             (use ECDSA on P-256, P-384 or P-521, Ed25519, or RSA of 2048 bits or more)",
        ),
        (
            pki::signed_by_itself(&["a.test"]).key,
            "\"a.test.key\" has a private key that does not belong to the first certificate of \
             \"a.test.cert\" (name the key that the certificate was ordered with)",
        ),
    ] {
        let world = World::with(&["b.test", "a.test"]);
        world.folder.write_pair("a.test", &made);
        world.folder.write("a.test.key", content);
        let (line, text) = only(&world);
        assert_eq!((line, text.as_str()), (4, expected));
        assert!(!text.contains(&secret[..16]));
    }
}

#[test]
fn a_chain_in_the_wrong_order_is_told_from_a_foreign_key() {
    let ca = Ca::new("ca");
    let made = ca.sign("a.test");
    let mut world = World::new();
    world.folder.write("cert.pem", format!("{}{}", ca.cert, made.cert));
    world.folder.write("key.pem", &made.key);
    world.add("cert.pem", "key.pem");
    let (line, text) = only(&world);
    assert_eq!(line, 2);
    assert!(text.ends_with("(it belongs to certificate 2: the server's own must come first)"));
}

#[test]
fn a_file_that_is_not_there_is_named_and_others_are_still_looked_at() {
    let mut world = World::with(&["a.test"]);
    world.add("absent.cert", "absent.key");
    world.add("folder", "a.test.key");
    std::fs::create_dir(world.folder.path("folder")).expect("a folder");
    let file = world.named("absent.ca");
    world.tls().clients = ClientCertificates::Optional(file);
    let mistakes = world.mistakes();
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.position.line).collect();
    assert_eq!(lines, [7, 3, 4, 5]);
    let absent = format!("\"{}\" cannot be read", world.folder.path("absent.key").display());
    assert!(mistakes[2].message.starts_with(&absent), "{}", mistakes[2].message);
    assert!(mistakes[3].message.ends_with("is not a regular file"), "{}", mistakes[3].message);
    let text = world.config.refuse(mistakes).to_string();
    assert!(text.starts_with("test:3:1: \"/"), "{text}");
}

#[test]
fn what_is_no_ca_is_said_at_its_place() {
    let mut world = World::with(&["a.test"]);
    let file = world.named("ca.pem");
    world.tls().clients = ClientCertificates::Required(file);
    let not_x509 = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    world.folder.write("ca.pem", format!("{}{not_x509}", Ca::new("ca").cert));
    let expected = "\"ca.pem\" has a certificate that cannot be a CA: number 2 \
                    (leave it out, or name the CA's own certificate)";
    assert_eq!(only(&world), (3, expected.to_owned()));
}

#[test]
fn keys_are_taken_in_every_form_and_beside_their_certificate() {
    let (ecdsa, rsa) = (pki::signed_by_itself(&["a.test"]), pki::with_rsa_key(&["a.test"]));
    for (made, label) in [(&ecdsa, "EC"), (&rsa, "RSA")] {
        let PrivateKeyDer::Pkcs8(pkcs8) = made.key_der() else { panic!("is PKCS#8") };
        let old = pki::pem(&format!("{label} PRIVATE KEY"), &pki::inside(pkcs8.secret_pkcs8_der()));
        for key in [&made.key, &old] {
            let mut world = World::new();
            world.folder.write("both.pem", format!("{}text between\n{key}", made.cert));
            world.add("both.pem", "both.pem");
            let server = &world.open().server();
            let seen = Client::new().shake(server, "a.test").expect("is served");
            assert_eq!(seen.server, made.der());
        }
    }
}

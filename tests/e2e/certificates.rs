//! Files of TLS: what is said of those that cannot be used, and of those that change.

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::support::{Launch, Proxy, eventually};

const END: &str =
    "proxy_tls_cert_not_after_seconds{listener=\"127.0.0.1:0\",certificate=\"a.test\"}";
const LOADED: &str = "proxy_tls_reloads_total{result=\"ok\"}";
const FAILED: &str = "proxy_tls_reloads_total{result=\"failed\"}";
const NEW_YEAR_2100: f64 = 4_102_444_800.0;
const NEW_YEAR_2101: f64 = 4_133_980_800.0;

/// Certificate and key, in `cert.pem` and `key.pem`.
fn write_pair(folder: &Path, ends: i32) {
    let key = KeyPair::generate().expect("is generated");
    let mut params = CertificateParams::new(["a.test".to_owned()]).expect("is a name");
    params.not_after = date_time_ymd(ends, 1, 1);
    let cert = params.self_signed(&key).expect("is signed");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("is written");
    fs::write(folder.join("cert.pem"), cert.pem()).expect("is written");
}

fn config(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "[[listeners]]\nbind = \"127.0.0.1:0\"\n\n[listeners.tls]\n\
         certificates = [{{ cert = \"{folder}/cert.pem\", key = \"{folder}/key.pem\" }}]\n"
    )
}

#[test]
fn check_and_run_name_every_file_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_pair(folder.path(), 2100);
    fs::write(folder.path().join("cert.pem"), "").expect("is written");
    let config = format!("{}client_ca = \"absent.pem\"\n", config(folder.path()));
    for command in ["check", "run"] {
        let mut launch = Launch::with(&config);
        let file = launch.file();
        launch.command.args([command, "-c", &file]);
        let ended = launch.end();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        let expected = format!(
            "{file}:5:26: \"{}/cert.pem\" is empty \
             (write it again: each block has a BEGIN and an END line)\n\
             {file}:6:13: \"absent.pem\" cannot be read: No such file or directory (os error 2) \
             (a relative path starts from the working directory)\n",
            folder.path().display()
        );
        assert_eq!(ended.stderr, expected, "{command}");
    }
}

#[test]
fn check_warns_of_a_certificate_that_has_expired() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_pair(folder.path(), 2001);
    let mut launch = Launch::with(&config(folder.path()));
    let file = launch.file();
    launch.command.args(["check", "-c", &file]);
    let ended = launch.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("ok: "), "{}", ended.stdout);
    let expected = "a certificate has expired listener=\"127.0.0.1:0\" certificate=\"a.test\" \
                    not_after=\"Mon, 01 Jan 2001 00:00:00 GMT\"";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn changed_files_are_loaded_and_broken_ones_reported_once() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_pair(folder.path(), 2100);
    let proxy = Proxy::start(&config(folder.path()));
    assert_eq!(proxy.metric(END), NEW_YEAR_2100);

    write_pair(folder.path(), 2101);
    // They are counted just before they are used.
    proxy.wait_for_metric(LOADED, 1.0);
    proxy.wait_for_metric(END, NEW_YEAR_2101);
    event(&proxy, "a changed certificate is loaded");

    fs::remove_file(folder.path().join("key.pem")).expect("is removed");
    proxy.wait_for_metric(FAILED, 1.0);
    assert_eq!(proxy.metric(END), NEW_YEAR_2101);
    let reported = event(&proxy, "a file of TLS cannot be used, what was loaded before stays");
    let file = folder.path().join("key.pem").display().to_string();
    assert_eq!(reported["file"], file.as_str());
    assert_eq!(reported["problem"], "cannot be read: No such file or directory (os error 2)");

    write_pair(folder.path(), 2100);
    proxy.wait_for_metric(LOADED, 2.0);
    proxy.wait_for_metric(END, NEW_YEAR_2100);
    assert_eq!(proxy.metric(FAILED), 1.0);
    let errors = events(&proxy).into_iter().filter(|event| event["level"] == "ERROR");
    assert_eq!(errors.count(), 1);
}

/// The first event with this message, once it is there.
fn event(proxy: &Proxy, message: &str) -> serde_json::Value {
    eventually(message, || events(proxy).into_iter().find(|event| event["message"] == message))
}

fn events(proxy: &Proxy) -> Vec<serde_json::Value> {
    let lines = proxy.program.stderr();
    lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

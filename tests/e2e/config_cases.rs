//! What `proxy check` says of a configuration, case by case: `tests/config_cases/*.txt` hold a
//! file, a line `---`, and every line that is printed, with the file called `FILE`. A case whose
//! files for TLS are nowhere has `loads` there: it is right as far as its text goes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use proxy::config::{Config, ConfigErrors};

use crate::support::{Ended, proxy_binary};

/// The files in a folder of the repository with this ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("can be read").path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == ending));
    files.sort();
    files
}

fn check(text: &str) -> Ended {
    Ended::with_file("check", text, &[])
}

/// The text alone: files that it names are not opened.
fn load(text: &str) -> Result<Config, ConfigErrors> {
    Config::load(text, "FILE", &|_| None)
}

/// What is wrong with a case, if anything.
fn judge(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).expect("is text");
    let (config, expected) = text.split_once("\n---\n").expect("a line --- ends the configuration");
    let name = file.file_name().unwrap_or_default().display();
    if expected == "loads\n" {
        return load(config).err().map(|errors| format!("{name}: must load, but\n{errors}\n"));
    }
    let ended = check(&format!("{config}\n"));
    // What is right is said on stdout with 0, what is wrong on stderr with 1.
    let is_ok = expected.starts_with("ok: ");
    let (stdout, stderr) = if is_ok { (expected, "") } else { ("", expected) };
    let code = if is_ok { 0 } else { 1 };
    if (ended.code, ended.stdout.as_str(), ended.stderr.as_str()) == (Some(code), stdout, stderr) {
        return None;
    }
    let Ended { code, stdout, stderr } = ended;
    Some(format!("{name}: exit {code:?}\n{stdout}{stderr}but expected:\n{expected}"))
}

#[test]
fn check_says_of_every_case_just_what_is_expected() {
    let cases = files("tests/config_cases", "txt");
    assert!(cases.len() > 20, "{cases:?}");
    let wrong: Vec<String> = cases.iter().filter_map(|file| judge(file)).collect();
    assert!(wrong.is_empty(), "{} of {} cases\n\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn every_example_is_valid() {
    let examples = files("proxy/examples", "toml");
    assert!(!examples.is_empty());
    for example in examples {
        let text = fs::read_to_string(&example).expect("is text");
        let loaded = load(&text);
        assert!(loaded.is_ok(), "{}: {}", example.display(), loaded.expect_err("is wrong"));
    }
}

/// `auth = "none"` lets everybody in: a scheme of that name would look like a guard and be none.
#[test]
fn a_scheme_cannot_be_called_none() {
    let ended = check(
        "auth = \"none\"\n[auth_schemes.none]\ntype = \"bearer\"\ntokens = [\"secret-token\"]\n",
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.starts_with("FILE:2:15: "), "{}", ended.stderr);
}

/// The default address of the admin listener stands nowhere in the file: the listener does.
#[test]
fn a_listener_on_the_default_admin_address_is_named_by_its_own_place() {
    let ended = check("# nothing here\n[[listeners]]\nbind = \"0.0.0.0:9901\"\n");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with("FILE:3:8: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("admin"), "{}", ended.stderr);
}

#[test]
fn two_spellings_of_one_field_are_not_both_set() {
    let ended = check(
        "[[routes]]\nrespond = {}\nresponse_headers = { set = { x-env = \"1\", X-Env = \"2\" } }\n",
    );
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.starts_with("FILE:3:43: "), "{}", ended.stderr);
}

#[test]
fn a_file_that_is_no_text_is_named() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("case.toml");
    fs::write(&file, b"auth = \"\xff\"\n").expect("the file can be written");
    for file in [file.as_path(), folder.path(), Path::new("/nowhere/proxy.toml")] {
        let ended = Ended::of(Command::new(proxy_binary()).arg("check").arg("-c").arg(file));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
        let start = format!("{}: cannot be read: ", file.display());
        assert!(ended.stderr.starts_with(&start), "{}", ended.stderr);
    }
}

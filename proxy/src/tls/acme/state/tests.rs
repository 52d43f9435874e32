//! What the files of the state are when others see them.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn state() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let state = State::open(&folder.path().join("var/acme")).expect("folders can be made");
    (folder, state)
}

fn lock(state: &State) -> Lock {
    state.try_lock().expect("can be locked").expect("is free")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").permissions().mode() & 0o777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("is there");
    entries
        .map(|entry| entry.expect("is read").file_name().into_string().expect("is text"))
        .collect()
}

#[test]
fn folders_and_files_are_for_their_owner_alone() {
    let (_folder, state) = state();
    let lock = lock(&state);
    let path = state.certificate("a.test");
    lock.write(&path, b"key").expect("can be written");
    let token = Token::parse("token").expect("is one");
    let _http = lock.place_http(token, "answer").expect("can be written");
    let _alpn = lock.place_alpn("a.test", "pem").expect("can be written");
    for file in
        [path, state.root.join("lock"), state.http().join("token"), state.alpn().join("a.test.pem")]
    {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    for folder in [
        state.root.clone(),
        state.root.join("challenges"),
        state.certificates(),
        state.http(),
        state.alpn(),
        state.failures(),
    ] {
        assert_eq!(mode(&folder), 0o700, "{folder:?}");
    }
}

#[test]
fn a_second_opening_changes_nothing() {
    let (_folder, state) = state();
    lock(&state).write(&state.account(), b"account").expect("can be written");
    let again = State::open(&state.root).expect("is there");
    assert_eq!(read(&again.account()).expect("can be read"), Some(b"account".to_vec()));
    assert_eq!(read(&again.certificate("a.test")).expect("can be asked for"), None);
}

#[test]
fn who_reads_while_a_file_is_replaced_sees_all_of_one() {
    let (_folder, state) = state();
    let lock = lock(&state);
    let path = state.certificate("a.test");
    let versions = [vec![b'a'; 20_000], vec![b'b'; 30_000]];
    lock.write(&path, &versions[0]).expect("can be written");
    let reader = std::thread::spawn({
        let (path, versions) = (path.clone(), versions.clone());
        move || {
            let mut seen = [false; 2];
            while !seen[1] {
                let bytes = read(&path).expect("can be read").expect("is there at any time");
                let version = versions.iter().position(|version| *version == bytes);
                seen[version.expect("is whole")] = true;
            }
        }
    });
    for _ in 0..20 {
        lock.write(&path, &versions[0]).expect("can be written");
    }
    lock.write(&path, &versions[1]).expect("can be written");
    reader.join().expect("saw nothing else");
    assert_eq!(names(&state.certificates()), ["a.test.pem"]);
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else() {
    let (_folder, state) = state();
    let lock = lock(&state);
    let taken = state.certificate("a.test");
    fs::create_dir(&taken).expect("can be made");
    let error = lock.write(&taken, b"key").expect_err("a folder is no file");
    assert!(error.to_string().contains("a.test.pem"), "{error}");
    assert_eq!(names(&state.certificates()), ["a.test.pem"]);
}

#[test]
fn one_process_at_a_time_has_the_lock() {
    let (_folder, state) = state();
    let other = State::open(&state.root).expect("is there");
    let held = lock(&state);
    assert!(other.try_lock().expect("can be asked for").is_none());
    drop(held);
    let held = lock(&other);
    assert!(state.try_lock().expect("can be asked for").is_none());
    drop(held);
}

#[test]
fn an_answer_is_there_for_as_long_as_its_order() {
    let (_folder, state) = state();
    let lock = lock(&state);
    let placed =
        lock.place_http(Token::parse("abc").expect("is one"), "abc.thumb").expect("written");
    let path = state.http().join("abc");
    assert_eq!(fs::read_to_string(&path).expect("is there"), "abc.thumb");
    drop(placed);
    assert!(!path.exists());
}

#[test]
fn what_an_ended_process_has_left_is_cleared_and_the_rest_is_kept() {
    let (_folder, state) = state();
    let lock = lock(&state);
    for kept in [state.account(), state.certificate("a.test"), state.failure("a.test")] {
        lock.write(&kept, b"kept").expect("can be written");
        fs::write(unfinished(&kept).expect("has a name"), "half").expect("can be written");
    }
    std::mem::forget(lock.place_http(Token::parse("abc").expect("is one"), "x"));
    std::mem::forget(lock.place_alpn("a.test", "x"));
    lock.clear().expect("can be cleared");
    assert_eq!(names(&state.certificates()), ["a.test.pem"]);
    assert_eq!(names(&state.failures()), ["a.test.json"]);
    assert!(names(&state.http()).is_empty() && names(&state.alpn()).is_empty());
    let mut root = names(&state.root);
    root.sort();
    assert_eq!(root, ["account.json", "certificates", "challenges", "failures", "lock"]);
}

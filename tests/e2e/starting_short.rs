//! A start with too little: too few open files, too few threads. Either the proxy says why and ends,
//! or it serves on every listener and stops like any other.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{BehindSockets, Ended, eventually, named_routes, proxy_binary, skip};

/// The proxy's program under limits that the shell sets.
fn limited(limits: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]).arg(proxy_binary());
    command
}

/// Whether it serves; what it says if it does not.
fn outcome(limits: &str, remedy: &str) -> bool {
    let config = format!("{}[server]\ndrain_timeout = \"5s\"\n", named_routes([("mine", "")]));
    let (stdout, stderr) = (Stdio::null(), Stdio::piped());
    let mut world = BehindSockets::start_by(limited(limits), &config, stdout, stderr);
    let has_started = eventually("a start or its failure", || {
        let is_running = world.program.is_running();
        let says = world.program.stderr();
        if says.iter().any(|line| line.starts_with("listening admin")) {
            return Some(true);
        }
        (!is_running).then_some(false)
    });
    if !has_started {
        assert_eq!(world.program.exit_code(), Some(1), "{limits}");
        let told = eventually("the reason", || {
            let says = world.program.stderr();
            says.iter().any(|line| line.contains(remedy)).then_some(says)
        });
        assert!(!told.iter().any(|line| line.contains("listening")), "{limits}: {told:#?}");
        return false;
    }
    assert_eq!(world.ask("traffic", "/").text(), "mine", "{limits}");
    assert_eq!(world.ask("admin", "/readyz").status, 200, "{limits}");
    world.program.signal("TERM");
    assert_eq!(world.program.exit_code(), Some(0), "{limits}: {:#?}", world.program.stderr());
    true
}

#[test]
fn with_any_number_of_open_files_it_serves_or_says_that_they_are_too_few() {
    let serves = |files: u32| outcome(&format!("ulimit -n {files}"), "open files");
    let most = (8..100).step_by(4).filter(|files| serves(*files)).count();
    assert!(most > 0, "100 files are enough");
    assert!(!serves(20));
}

#[test]
fn with_any_number_of_threads_it_serves_or_says_that_they_are_too_few() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    // Another user's processes are counted, root's are not. Its folders may be closed to them.
    let run = |threads: u32| {
        let limits = format!(
            "exec 3< {}; exec prlimit --nproc={threads} setpriv --reuid=65534 --clear-groups \
             /proc/self/fd/3 --listen 127.0.0.1:0 --admin 127.0.0.1:0 --workers 4",
            proxy_binary().display()
        );
        let mut command = Command::new("timeout");
        command.args(["-s", "TERM", "3", "sh", "-c", &limits]).current_dir(&folder);
        Ended::of(&mut command)
    };
    let has_another_user = fs::metadata("/proc/self")
        .is_ok_and(|found| std::os::unix::fs::MetadataExt::uid(&found) == 0)
        && Command::new("setpriv").arg("--version").output().is_ok();
    if !has_another_user {
        return skip("limits of threads need root and setpriv");
    }
    for threads in [2, 3, 4, 6, 9, 12, 15] {
        let ended = run(threads);
        assert_eq!(ended.code, Some(1), "{threads}: {}", ended.stderr);
        assert!(ended.stderr.contains("limit of threads"), "{threads}: {}", ended.stderr);
        assert!(!ended.stderr.contains("listening"), "{threads}: {}", ended.stderr);
    }
    let enough = run(64);
    assert!(enough.stderr.contains("listening admin"), "{}", enough.stderr);
}

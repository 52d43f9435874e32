//! Output never holds anything up: whatever becomes of stdout and stderr, traffic goes on, a stop
//! ends in time, and what is lost is counted.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::support::{
    BehindSockets, ClosedPort, Ended, Sink, StalledPipe, eventually, named_routes, proxy_binary,
};

/// Every request is an access line and an event; each is answered with 503.
fn talkative(nobody: &ClosedPort) -> String {
    format!(
        "log = {{ level = \"debug\" }}\nserver = {{ drain_timeout = \"2s\" }}\n\
         [[routes]]\nservice = \"none\"\n[services.none]\nendpoints = [\"http://{}\"]\n",
        nobody.address
    )
}

const STATUS: u16 = 502;

/// Asks until the metric says that something was lost.
fn ask_until_lost(world: &BehindSockets, metric: &str) {
    eventually(metric, || {
        world.ask_often(200, STATUS);
        (world.metric(metric) > 0).then_some(())
    });
}

#[test]
fn with_a_stdout_that_takes_nothing_traffic_goes_on_and_lines_are_counted() {
    for sink in Sink::ALL {
        let nobody = ClosedPort::reserve();
        let (stdout, _pipe) = sink.open();
        let mut world = BehindSockets::start(&talkative(&nobody), stdout, Stdio::piped());
        world.wait_until_ready();
        ask_until_lost(&world, "proxy_access_log_dropped_total");
        let told = eventually("an event", || {
            let events = world.program.stderr();
            events.into_iter().find(|line| line.contains("access lines are lost"))
        });
        assert!(told.contains("WARN"), "{told}");

        world.program.signal("TERM");
        assert_eq!(world.program.exit_code(), Some(0), "{sink:?}");
        let events = world.program.stderr();
        let told = events.iter().filter(|line| line.contains("\"access lines are lost"));
        assert_eq!(told.count(), 1, "{sink:?} is told once: {events:#?}");
    }
}

#[test]
fn with_a_stderr_that_takes_nothing_traffic_goes_on_and_events_are_counted() {
    for sink in Sink::ALL {
        let nobody = ClosedPort::reserve();
        let (stderr, _pipe) = sink.open();
        let mut world = BehindSockets::start(&talkative(&nobody), Stdio::piped(), stderr);
        world.wait_until_ready();
        ask_until_lost(&world, "proxy_events_dropped_total");
        assert_eq!(world.metric("proxy_access_log_dropped_total"), 0, "{sink:?}");

        world.program.signal("TERM");
        assert_eq!(world.program.exit_code(), Some(0), "{sink:?}");
    }
}

#[test]
fn with_neither_a_request_is_still_finished_before_the_end() {
    for sink in Sink::ALL {
        let nobody = ClosedPort::reserve();
        let ((stdout, _out), (stderr, _err)) = (sink.open(), sink.open());
        let mut world = BehindSockets::start(&talkative(&nobody), stdout, stderr);
        world.wait_until_ready();
        world.ask_often(50, STATUS);
        world.program.signal("TERM");
        assert_eq!(world.program.exit_code(), Some(0), "{sink:?}");
    }
}

#[test]
fn events_that_were_lost_are_told_of_once_stderr_is_read_again() {
    let nobody = ClosedPort::reserve();
    let (stderr, pipe) = StalledPipe::full();
    let mut world = BehindSockets::start(&talkative(&nobody), Stdio::null(), stderr);
    world.wait_until_ready();
    ask_until_lost(&world, "proxy_events_dropped_total");
    let lost = world.metric("proxy_events_dropped_total");

    let lines = pipe.read_on();
    let read = || lines.lock().expect("nobody has panicked").clone();
    let told =
        eventually("the event", || read().into_iter().find(|line| line.contains("were lost")));
    let told: Value = serde_json::from_str(&told).expect("is JSON");
    assert_eq!((&told["level"], &told["lost"]), (&"WARN".into(), &lost.into()));
    // What was said before all of them is there, whole.
    assert!(read().iter().any(|line| line.starts_with("listening traffic ")));
    world.ask_often(1, STATUS);
    assert_eq!(world.metric("proxy_events_dropped_total"), lost);
    assert_eq!(read().iter().filter(|line| line.contains("were lost")).count(), 1);
}

#[test]
fn access_lines_that_were_lost_are_told_of_once_stdout_is_read_again() {
    let nobody = ClosedPort::reserve();
    let (stdout, pipe) = StalledPipe::full();
    let mut world = BehindSockets::start(&talkative(&nobody), stdout, Stdio::piped());
    world.wait_until_ready();
    ask_until_lost(&world, "proxy_access_log_dropped_total");

    let lines = pipe.read_on();
    let told = eventually("the event", || {
        let events = world.program.stderr();
        events.into_iter().find(|line| line.contains("takes access lines again"))
    });
    let told: Value = serde_json::from_str(&told).expect("is JSON");
    assert_eq!(told["lost"], world.metric("proxy_access_log_dropped_total"));
    for line in lines.lock().expect("nobody has panicked").iter() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_stdout_that_never_blocks_loses_nothing() {
    let (stdout, pipe) = StalledPipe::unwaiting();
    let config = named_routes([("mine", "")]);
    let mut world = BehindSockets::start(&config, stdout, Stdio::piped());
    world.wait_until_ready();
    // More than a pipe holds, and less than may wait.
    world.ask_often(1000, 200);

    let lines = pipe.read_on();
    eventually("1000 lines", || {
        (lines.lock().expect("nobody has panicked").len() == 1000).then_some(())
    });
    assert_eq!(world.metric("proxy_access_log_dropped_total"), 0);
    let whole = |line: &String| serde_json::from_str::<Value>(line).is_ok();
    assert!(lines.lock().expect("nobody has panicked").iter().all(whole));
}

#[test]
fn a_line_that_a_full_file_has_cut_is_counted_and_the_next_begins_on_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("log");
    let log = File::create(&file).expect("can be made");
    let config = named_routes([("mine", "")]);
    let mut world = BehindSockets::start(&config, log.into(), Stdio::piped());
    world.wait_until_ready();
    let id = Pid::from_raw(i32::try_from(world.program.pid()).expect("is small"));
    let may_be = |current| {
        let limit = Rlimit { current, maximum: None };
        prlimit(id, Resource::Fsize, limit).expect("may be set");
    };
    may_be(Some(1000));
    world.ask_often(20, 200);
    eventually("lost lines", || (world.metric("proxy_access_log_dropped_total") > 0).then_some(()));
    may_be(None);
    eventually("an event", || {
        world.ask("traffic", "/again");
        let events = world.program.stderr();
        events.into_iter().find(|line| line.contains("takes access lines again"))
    });

    let text = fs::read_to_string(&file).expect("is text");
    let cut = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_err());
    assert_eq!(cut.count(), 1, "{text}");
    assert!(text.lines().any(|line| line.contains("/again")), "{text}");
}

#[test]
fn with_stdout_and_stderr_closed_from_the_first_it_serves_and_stops() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"]).arg(proxy_binary());
    let (stdout, stderr) = (Stdio::null(), Stdio::null());
    let config = named_routes([("mine", "")]);
    let mut world = BehindSockets::start_by(command, &config, stdout, stderr);
    world.wait_until_ready();
    world.ask_often(100, 200);
    world.program.signal("TERM");
    assert_eq!(world.program.exit_code(), Some(0));
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    for sink in Sink::ALL {
        let (stderr, _pipe) = sink.open();
        let world = BehindSockets::start("[server]\nworkers = 0\n", Stdio::null(), stderr);
        let BehindSockets { mut program, .. } = world;
        assert_eq!(program.exit_code(), Some(1), "{sink:?}");
    }
}

/// A command of each kind, with its exit code where it can say what it has to say.
const COMMANDS: [(&[&str], i32); 9] = [
    (&["schema"], 0),
    (&["check"], 0),
    (&["check", "-c", "/nowhere"], 1),
    (&["explain", "GET", "/items/books"], 0),
    (&["explain", "G T", "/"], 2),
    (&["healthcheck", "--url", "none"], 1),
    (&["--help"], 0),
    (&["--version"], 0),
    (&["--frobnicate"], 2),
];

/// Runs a command with one of its outputs replaced by the shell.
fn redirected(args: &[&str], how: &str) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" {how}")]).arg(proxy_binary());
    Ended::of(command.args(args).env_remove("PROXY_CONFIG"))
}

#[test]
fn no_command_panics_on_output_that_cannot_be_written() {
    for (args, code) in COMMANDS {
        for how in [">&-", "2>&-", ">&- 2>&-", "2>/dev/full"] {
            let ended = redirected(args, how);
            assert_eq!(ended.code, Some(code), "{args:?} {how}: {}", ended.stderr);
        }
        let prints = code == 0;
        let ended = redirected(args, ">/dev/full");
        assert_eq!(ended.code, Some(if prints { 1 } else { code }), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.contains("cannot write to stdout"), prints, "{}", ended.stderr);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_of_a_command() {
    for (args, code) in COMMANDS {
        let (stdout, _) = Sink::Closed.open();
        let mut command = Command::new(proxy_binary());
        command.args(args).env_remove("PROXY_CONFIG").stdout(stdout).stderr(Stdio::piped());
        let output = command.spawn().and_then(|child| child.wait_with_output()).expect("runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert_eq!(stderr.is_empty(), code == 0, "{args:?}: {stderr}");
    }
}

//! Where a program's output goes when nobody wants it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write},
    process::Stdio,
    thread,
};

use rustix::io::ioctl_fionbio;

use super::program::Lines;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A full pipe that somebody could still read.
    Stalled,
    /// A pipe that nobody can read any more.
    Closed,
    /// A device without room.
    Full,
}

impl Sink {
    pub const ALL: [Self; 3] = [Self::Stalled, Self::Closed, Self::Full];

    /// The program's end, and the reader of a stalled pipe, to be kept.
    pub fn open(self) -> (Stdio, Option<StalledPipe>) {
        match self {
            Self::Stalled => {
                let (end, pipe) = StalledPipe::full();
                (end, Some(pipe))
            }
            Self::Closed => {
                let (_, writer) = io::pipe().expect("a pipe can be had");
                (writer.into(), None)
            }
            Self::Full => {
                let full = File::options().write(true).open("/dev/full");
                (full.expect("is there").into(), None)
            }
        }
    }
}

/// A pipe whose reader waits for a word.
pub struct StalledPipe(PipeReader);

impl StalledPipe {
    /// With no byte left of its room.
    pub fn full() -> (Stdio, Self) {
        let (reader, mut writer) = io::pipe().expect("a pipe can be had");
        ioctl_fionbio(&writer, true).expect("can be set");
        for filling in [&[b'\n'; 4096][..], b"\n"] {
            while writer.write(filling).is_ok() {}
        }
        ioctl_fionbio(&writer, false).expect("can be set");
        (writer.into(), Self(reader))
    }

    /// An empty one that tells its writer to come again instead of making it wait.
    pub fn unwaiting() -> (Stdio, Self) {
        let (reader, writer): (PipeReader, PipeWriter) = io::pipe().expect("a pipe can be had");
        ioctl_fionbio(&writer, true).expect("can be set");
        (writer.into(), Self(reader))
    }

    /// Reads what is there and what will come, but for empty lines.
    pub fn read_on(self) -> Lines {
        let lines = Lines::default();
        let read = Lines::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(self.0).lines().map_while(Result::ok) {
                if !line.is_empty() {
                    read.lock().expect("nobody has panicked").push(line);
                }
            }
        });
        lines
    }
}

//! The way of bytes to stdout and stderr: nothing else in the crate writes to them.
//!
//! Relies on the file descriptors alone. The handles of std have a lock each, which a thread keeps
//! for as long as a reader does not read, and its macros panic when a write fails.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, write},
    stdio,
};

/// The output ended before all bytes were written.
#[derive(Debug)]
struct CutShort {
    written: usize,
    error: io::Error,
}

/// Lines that did not get out whole.
#[derive(Debug)]
pub(super) struct LinesLost {
    pub(super) lines: u64,
    pub(super) error: io::Error,
}

/// Writes whole lines; what follows a line that was cut begins on a new one.
pub(super) struct LineWriter<F> {
    output: F,
    is_amid_line: bool,
}

impl<F: AsFd> LineWriter<F> {
    pub(super) fn new(output: F) -> Self {
        Self { output, is_amid_line: false }
    }

    /// Writes `lines`, each of which ends with a newline. Waits for the reader, however long.
    ///
    /// # Errors
    /// Some did not get out.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), LinesLost> {
        if self.is_amid_line {
            write_all(self.output.as_fd(), b"\n")
                .map_err(|cut| LinesLost { lines: count(lines), error: cut.error })?;
            self.is_amid_line = false;
        }
        write_all(self.output.as_fd(), lines).map_err(|CutShort { written, error }| {
            let (out, rest) = lines.split_at(written);
            self.is_amid_line = out.last().is_some_and(|last| *last != b'\n');
            LinesLost { lines: count(rest), error }
        })
    }
}

/// Prints what a command was asked for, and a newline. A reader that has seen enough is no failure.
///
/// # Errors
/// The output could not be written.
pub fn print(text: &str) -> io::Result<()> {
    match write_all(stdio::stdout(), format!("{text}\n").as_bytes()) {
        Err(cut) if cut.error.kind() != io::ErrorKind::BrokenPipe => Err(cut.error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says a line on stderr, now.
pub fn complain(line: &str) {
    write_stderr(format!("{line}\n").as_bytes());
}

/// If nobody reads it, nobody can be told.
pub(super) fn write_stderr(lines: &[u8]) {
    let _ = write_all(stdio::stderr(), lines);
}

fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

fn write_all(output: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), CutShort> {
    let mut written = 0;
    while let rest @ [_, ..] = &bytes[written..] {
        let step = match write(output, rest) {
            Ok(0) => Err(Errno::IO),
            Err(Errno::INTR) => Ok(0),
            // Whoever shares the stream with us may have made it so for all.
            Err(Errno::AGAIN) => wait_for_room(output).map(|()| 0),
            step => step,
        };
        written += step.map_err(|error| CutShort { written, error: error.into() })?;
    }
    Ok(())
}

fn wait_for_room(output: BorrowedFd<'_>) -> Result<(), Errno> {
    match poll(&mut [PollFd::from_borrowed_fd(output, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read, thread};

    use super::*;

    /// As much as a pipe never holds.
    const MUCH: usize = 1 << 20;

    #[test]
    fn a_stream_that_never_blocks_takes_all_of_it() {
        let (mut reader, writer) = io::pipe().expect("a pipe can be had");
        rustix::io::ioctl_fionbio(&writer, true).expect("can be set");
        let line = [vec![b'x'; MUCH], b"\n".to_vec()].concat();
        let expected = line.clone();
        let writing = thread::spawn(move || LineWriter::new(writer).write(&line).is_ok());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("can be read");
        assert!(writing.join().expect("does not panic"));
        assert!(read == expected, "{} bytes of {}", read.len(), expected.len());
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted() {
        let full = File::options().write(true).open("/dev/full").expect("is there");
        let lost = LineWriter::new(full).write(b"one\ntwo\nthree\n").expect_err("is full");
        assert_eq!(lost.lines, 3);
        assert_eq!(lost.error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn what_follows_a_cut_line_begins_on_a_new_one() {
        let (mut reader, writer) = io::pipe().expect("a pipe can be had");
        let mut writer = LineWriter { output: writer, is_amid_line: true };
        writer.write(b"next\n").expect("is taken");
        writer.write(b"last\n").expect("is taken");
        drop(writer);
        let mut read = String::new();
        reader.read_to_string(&mut read).expect("is text");
        assert_eq!(read, "\nnext\nlast\n");
    }

    #[test]
    fn a_reader_that_leaves_amid_a_line_loses_that_line_and_the_rest() {
        let (mut reader, writer) = io::pipe().expect("a pipe can be had");
        let line = [vec![b'x'; MUCH], b"\n".to_vec()].concat();
        let lines = [b"first\n".to_vec(), line.clone(), line].concat();
        let reading = thread::spawn(move || {
            let mut some = [0; 4096];
            reader.read_exact(&mut some).expect("can be read");
        });
        let mut writer = LineWriter::new(writer);
        let lost = writer.write(&lines).expect_err("the reader has left");
        reading.join().expect("does not panic");
        assert_eq!((lost.lines, writer.is_amid_line), (2, true));
        let next = writer.write(b"next\n").expect_err("the reader has left");
        assert_eq!((next.lines, writer.is_amid_line), (1, true));
    }
}

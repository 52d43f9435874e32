//! Files as they are: read whole, with a bound, and told apart by a digest, so that no second copy
//! of a key is kept to compare with.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::error::FileProblem;

/// Of a file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What a file holds, or why that cannot be told.
pub(super) type Content = Result<Vec<u8>, FileProblem>;

/// Stands for the contents of one or two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(contents: &[Content]) -> Self {
        let mut digest = Sha256::new();
        for content in contents {
            // Two digests beside each other, so that bytes cannot move from one file to the next.
            digest.update(match content {
                Ok(bytes) => Sha256::digest(bytes),
                Err(problem) => Sha256::digest(problem.to_string()),
            });
        }
        Self(digest.finalize().into())
    }
}

pub(super) fn read_all(paths: &[PathBuf]) -> Vec<Content> {
    paths.iter().map(|path| read(path)).collect()
}

pub(super) fn read(path: &Path) -> Content {
    read_up_to(path, LARGEST)
}

/// All of a file that has no more than `most` bytes.
pub(super) fn read_up_to(path: &Path, most: u64) -> Content {
    // Before it is opened: who opens a pipe waits for its other end.
    if !fs::metadata(path).map_err(FileProblem::Unreadable)?.is_file() {
        return Err(FileProblem::NotRegular);
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    read.map_err(FileProblem::Unreadable)?;
    if bytes.len() as u64 > most { Err(FileProblem::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_refused_beyond_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("large.pem");
        fs::write(&path, vec![b'a'; 1 << 20]).expect("is written");
        assert_eq!(read(&path).expect("is within the bound").len(), 1 << 20);
        fs::write(&path, vec![b'a'; (1 << 20) + 1]).expect("is written");
        assert!(matches!(read(&path), Err(FileProblem::TooLarge)));
    }

    #[test]
    fn a_bound_is_the_callers_where_it_has_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, [b'x'; 10]).expect("is written");
        assert_eq!(read_up_to(&path, 10).expect("fits").len(), 10);
        assert!(matches!(read_up_to(&path, 9), Err(FileProblem::TooLarge)));
    }

    #[test]
    fn a_pipe_is_refused_before_it_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo runs").success());
        assert!(matches!(read(&path), Err(FileProblem::NotRegular)));
    }

    #[test]
    fn fingerprints_tell_contents_absence_and_borders_apart() {
        let is = |text: &str| -> Content { Ok(text.as_bytes().to_vec()) };
        let absent =
            || -> Content { Err(FileProblem::Unreadable(std::io::ErrorKind::NotFound.into())) };
        assert_eq!(Fingerprint::of(&[is("a")]), Fingerprint::of(&[is("a")]));
        assert_eq!(Fingerprint::of(&[absent()]), Fingerprint::of(&[absent()]));
        let different = [
            Fingerprint::of(&[is("a")]),
            Fingerprint::of(&[is("b")]),
            Fingerprint::of(&[is("")]),
            Fingerprint::of(&[absent()]),
            Fingerprint::of(&[is("ab"), is("c")]),
            Fingerprint::of(&[is("a"), is("bc")]),
        ];
        for (index, one) in different.iter().enumerate() {
            assert!(!different[..index].contains(one), "{index}");
        }
    }
}

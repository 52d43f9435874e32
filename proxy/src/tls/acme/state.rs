//! The folder that ACME's state is kept in, shared by every process that names it.
//!
//! | file | content |
//! |---|---|
//! | `account.json` | the account's key and address |
//! | `certificates/NAME.pem` | private key and chain |
//! | `challenges/http/TOKEN` | a key authorization (RFC 8555 section 8.3) |
//! | `challenges/alpn/NAME.pem` | a certificate with its key (RFC 8737) |
//! | `failures/NAME.json` | how often an order failed, and when it may be tried again |
//! | `lock` | held by the one process that orders |
//!
//! Only who holds the lock writes; everybody reads at any time. So a file is written beside its
//! place and renamed: who reads it sees all of it, the old or the new. Folders are for their owner
//! alone (0700), files too (0600). Names come from the configuration, tokens from `Token`: neither
//! can lead out of the folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
};

use super::token::Token;
use crate::tls::files;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What a file is called until it is complete; it begins with a dot, as no name does.
const UNFINISHED: &str = ".tmp";

/// A file of the state that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} \"{}\"", path.display())]
pub(super) struct StateError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    root: PathBuf,
}

/// That this process is the one that orders, for as long as the value lives.
#[must_use]
#[derive(Debug)]
pub(super) struct Lock {
    state: State,
    /// The system frees the lock when this is closed, and at the latest when the process ends.
    _file: File,
}

/// A file that is removed when the value is dropped.
#[must_use]
#[derive(Debug)]
pub(super) struct Placed(PathBuf);

impl State {
    /// Makes the folders that are not there.
    ///
    /// # Errors
    /// One of them cannot be made.
    pub(super) fn open(root: &Path) -> Result<Self, StateError> {
        let state = Self { root: root.to_owned() };
        for folder in [state.certificates(), state.http(), state.alpn(), state.failures()] {
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&folder);
            made.map_err(|source| StateError { what: "make the folder", path: folder, source })?;
        }
        Ok(state)
    }

    pub(super) fn account(&self) -> PathBuf {
        self.root.join("account.json")
    }

    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        certificate_path(&self.root, name)
    }

    pub(super) fn failure(&self, name: &str) -> PathBuf {
        self.failures().join(format!("{name}.json"))
    }

    fn certificates(&self) -> PathBuf {
        certificates(&self.root)
    }

    fn http(&self) -> PathBuf {
        http_folder(&self.root)
    }

    fn alpn(&self) -> PathBuf {
        alpn(&self.root)
    }

    fn failures(&self) -> PathBuf {
        self.root.join("failures")
    }

    /// The lock; `None` while another process has it.
    ///
    /// # Errors
    /// The file cannot be opened, or the file system knows no locks.
    pub(super) fn try_lock(&self) -> Result<Option<Lock>, StateError> {
        let path = self.root.join("lock");
        let failed = |path, source| StateError { what: "lock", path, source };
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(false).mode(FILE_MODE);
        let file = options.open(&path).map_err(|source| failed(path.clone(), source))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { state: self.clone(), _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(path, source)),
        }
    }
}

/// Asks the system whether this process may write the folders that are there, and make the others.
/// Nothing is made.
///
/// # Errors
/// It may not.
pub(super) fn ensure_writable(root: &Path) -> Result<(), StateError> {
    let state = State { root: root.to_owned() };
    for folder in [state.certificates(), state.http(), state.alpn(), state.failures()] {
        let mut nearest = folder.as_path();
        let asked = loop {
            let wanted = Access::WRITE_OK | Access::EXEC_OK;
            match (access(nearest, wanted), nearest.parent()) {
                (Err(Errno::NOENT), Some(parent)) => nearest = parent,
                (asked, _) => break asked,
            }
        };
        asked.map_err(|errno| {
            let path = nearest.to_owned();
            StateError { what: "write the folder", path, source: errno.into() }
        })?;
    }
    Ok(())
}

/// Key and chain of the certificate that is ordered for `name`.
pub(in crate::tls) fn certificate_path(root: &Path, name: &str) -> PathBuf {
    certificates(root).join(format!("{name}.pem"))
}

/// Key and certificate that prove to a CA who answers for `name`.
pub(in crate::tls) fn challenge_path(root: &Path, name: &str) -> PathBuf {
    alpn(root).join(format!("{name}.pem"))
}

fn certificates(root: &Path) -> PathBuf {
    root.join("certificates")
}

fn alpn(root: &Path) -> PathBuf {
    root.join("challenges/alpn")
}

/// Where the answers to HTTP-01 lie.
pub(super) fn http_folder(root: &Path) -> PathBuf {
    root.join("challenges/http")
}

/// What a file holds; `None` if there is none.
///
/// # Errors
/// It cannot be read, or is larger than 1 MiB.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match files::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(problem) if problem.is_absence() => Ok(None),
        Err(problem) => {
            let source = io::Error::other(problem);
            Err(StateError { what: "read", path: path.to_owned(), source })
        }
    }
}

impl Lock {
    /// Puts `bytes` in the place of what `path` holds, at once and for good.
    ///
    /// # Errors
    /// The file cannot be written; then the old one stays.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StateError> {
        let failed = |source| StateError { what: "write", path: path.to_owned(), source };
        let unfinished = unfinished(path).map_err(failed)?;
        let written = write_whole(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        // The new name is on disk once its folder is.
        let folder = path.parent().unwrap_or(&self.state.root);
        written.and_then(|()| File::open(folder)?.sync_all()).map_err(failed)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// It is still there.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StateError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError { what: "remove", path: path.to_owned(), source: error })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Has every process answer HTTP-01 for `token` with `key_authorization`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn place_http(
        &self,
        token: Token<'_>,
        key_authorization: &str,
    ) -> Result<Placed, StateError> {
        self.place(self.state.http().join(token.text()), key_authorization)
    }

    /// Has every process show `pem` to who asks for `name` by `acme-tls/1`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn place_alpn(&self, name: &str, pem: &str) -> Result<Placed, StateError> {
        self.place(self.state.alpn().join(format!("{name}.pem")), pem)
    }

    fn place(&self, path: PathBuf, text: &str) -> Result<Placed, StateError> {
        self.write(&path, text.as_bytes())?;
        Ok(Placed(path))
    }

    /// Removes what a process that ended too early has left: nobody else orders now, so every
    /// answer to a challenge is stale, and every file that is not finished.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub(super) fn clear(&self) -> Result<(), StateError> {
        for folder in [self.state.http(), self.state.alpn()] {
            self.clear_folder(&folder, |_| true)?;
        }
        for folder in [self.state.root.clone(), self.state.certificates(), self.state.failures()] {
            self.clear_folder(&folder, is_unfinished)?;
        }
        Ok(())
    }

    fn clear_folder(&self, folder: &Path, is_stale: fn(&Path) -> bool) -> Result<(), StateError> {
        let failed = |source| StateError { what: "list", path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // A folder is somebody else's.
            if is_stale(&path) && path.is_file() {
                self.remove(&path)?;
            }
        }
        Ok(())
    }
}

fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or(io::ErrorKind::InvalidFilename)?;
    Ok(path.with_file_name(format!(".{name}{UNFINISHED}")))
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with('.') && name.ends_with(UNFINISHED))
}

/// A new file, on disk when this returns.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl Drop for Placed {
    fn drop(&mut self) {
        // What stays is cleared before the next order.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests;

//! Files that are looked at again and again, and what was made of them last.
//!
//! Contents are compared, not times: where a folder is swapped by a symbolic link, as Kubernetes
//! does with a ConfigMap or a Secret, the time of the new file may be older than that of the one
//! before. What is found broken gets a second look before anybody hears of it: a pair of files may
//! have been caught while it was being replaced.

use std::path::PathBuf;

use super::{
    error::FileError,
    files::{Content, Fingerprint, read_all},
};

/// How something is made from files.
pub(super) trait Material {
    type Loaded;

    fn paths(&self) -> &[PathBuf];

    /// # Errors
    /// What is wrong with the files; at least one.
    fn load(&self, contents: Vec<Content>) -> Result<Self::Loaded, Vec<FileError>>;
}

pub(super) struct Watched<M: Material> {
    material: M,
    /// The last that could be made.
    loaded: M::Loaded,
    /// Of the last contents that were loaded or reported.
    judged: Fingerprint,
    /// Whether the last look has found something broken for the first time.
    is_doubted: bool,
}

/// What a look has found.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    /// Loaded from new contents.
    New,
    /// New contents that cannot be used: what was loaded before them stays.
    Broken(Vec<FileError>),
}

impl<M: Material> Watched<M> {
    /// # Errors
    /// What is wrong with the files.
    pub(super) fn open(material: M) -> Result<Self, Vec<FileError>> {
        let contents = read_all(material.paths());
        let judged = Fingerprint::of(&contents);
        let loaded = material.load(contents)?;
        Ok(Self { material, loaded, judged, is_doubted: false })
    }

    /// Files that may come later; and what is wrong with them now.
    pub(super) fn open_or(material: M, fallback: M::Loaded) -> (Self, Vec<FileError>) {
        let contents = read_all(material.paths());
        let judged = Fingerprint::of(&contents);
        let (loaded, errors) = match material.load(contents) {
            Ok(loaded) => (loaded, Vec::new()),
            Err(errors) => (fallback, errors),
        };
        (Self { material, loaded, judged, is_doubted: false }, errors)
    }

    pub(super) fn loaded(&self) -> &M::Loaded {
        &self.loaded
    }

    pub(super) fn look(&mut self) -> Found {
        let contents = read_all(self.material.paths());
        let seen = Fingerprint::of(&contents);
        if seen == self.judged {
            self.is_doubted = false;
            return Found::Nothing;
        }
        match self.material.load(contents) {
            Ok(loaded) => {
                self.loaded = loaded;
                self.judged = seen;
                self.is_doubted = false;
                Found::New
            }
            Err(_) if !self.is_doubted => {
                self.is_doubted = true;
                Found::Nothing
            }
            Err(errors) => {
                self.judged = seen;
                self.is_doubted = false;
                Found::Broken(errors)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::tls::error::{FileProblem, Part};

    /// A text that must not be "broken".
    struct Text([PathBuf; 1]);

    impl Material for Text {
        type Loaded = String;

        fn paths(&self) -> &[PathBuf] {
            &self.0
        }

        fn load(&self, mut contents: Vec<Content>) -> Result<String, Vec<FileError>> {
            let content = contents.remove(0).and_then(|bytes| match bytes.as_slice() {
                b"broken" | b"worse" => Err(FileProblem::BrokenPem),
                _ => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            });
            content.map_err(|problem| {
                vec![FileError { part: Part::Certificate, path: self.0[0].clone(), problem }]
            })
        }
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf, Watched<Text>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        write(&path, text);
        let watched = Watched::open(Text([path.clone()])).expect("can be used");
        (folder, path, watched)
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).expect("is written");
    }

    fn is_nothing(found: &Found) -> bool {
        matches!(found, Found::Nothing)
    }

    #[test]
    fn new_contents_are_loaded_once() {
        let (_folder, path, mut watched) = written("a");
        assert!(is_nothing(&watched.look()));
        write(&path, "b");
        assert!(matches!(watched.look(), Found::New));
        assert_eq!(watched.loaded(), "b");
        assert!(is_nothing(&watched.look()));
    }

    #[test]
    fn a_symbolic_link_that_is_swapped_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("data");
        for (version, text) in [("1", "a"), ("2", "b")] {
            let version = folder.path().join(version);
            fs::create_dir(&version).expect("a folder");
            write(&version.join("file"), text);
        }
        std::os::unix::fs::symlink("1", &link).expect("is linked");
        let mut watched = Watched::open(Text([link.join("file")])).expect("can be used");
        std::os::unix::fs::symlink("2", folder.path().join("new")).expect("is linked");
        fs::rename(folder.path().join("new"), &link).expect("is swapped");
        assert!(matches!(watched.look(), Found::New));
        assert_eq!(watched.loaded(), "b");
    }

    #[test]
    fn broken_contents_are_reported_by_the_second_look_and_once() {
        let (_folder, path, mut watched) = written("a");
        write(&path, "broken");
        assert!(is_nothing(&watched.look()));
        assert!(matches!(watched.look(), Found::Broken(errors) if errors.len() == 1));
        assert!((0..3).all(|_| is_nothing(&watched.look())));
        assert_eq!(watched.loaded(), "a");
        write(&path, "worse");
        assert!(is_nothing(&watched.look()));
        assert!(matches!(watched.look(), Found::Broken(_)));
        write(&path, "b");
        assert!(matches!(watched.look(), Found::New));
    }

    #[test]
    fn a_file_that_is_whole_again_by_the_second_look_is_not_reported() {
        let (_folder, path, mut watched) = written("a");
        write(&path, "broken");
        assert!(is_nothing(&watched.look()));
        write(&path, "b");
        assert!(matches!(watched.look(), Found::New));
        write(&path, "broken");
        assert!(is_nothing(&watched.look()));
        write(&path, "b");
        assert!(is_nothing(&watched.look()));
        write(&path, "broken");
        assert!(is_nothing(&watched.look()), "an old doubt is forgotten");
    }

    #[test]
    fn a_file_that_changes_at_every_look_and_is_always_broken_is_reported() {
        let (_folder, path, mut watched) = written("a");
        write(&path, "broken");
        assert!(is_nothing(&watched.look()));
        write(&path, "worse");
        assert!(matches!(watched.look(), Found::Broken(_)));
    }

    #[test]
    fn a_file_that_vanishes_is_reported_and_what_it_held_stays() {
        let (_folder, path, mut watched) = written("a");
        fs::remove_file(&path).expect("is removed");
        assert!(is_nothing(&watched.look()));
        let Found::Broken(errors) = watched.look() else { panic!("is reported") };
        assert!(errors[0].to_string().contains("No such file"), "{}", errors[0]);
        assert_eq!(watched.loaded(), "a");
        write(&path, "a");
        assert!(matches!(watched.look(), Found::New), "it says that it is back");
    }

    #[test]
    fn what_is_not_there_yet_is_replaced_when_it_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let (mut watched, errors) = Watched::open_or(Text([path.clone()]), "nothing".into());
        assert_eq!((errors.len(), watched.loaded().as_str()), (1, "nothing"));
        assert!((0..3).all(|_| is_nothing(&watched.look())));
        write(&path, "a");
        assert!(matches!(watched.look(), Found::New));
        assert_eq!(watched.loaded(), "a");
    }
}

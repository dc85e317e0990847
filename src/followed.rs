//! Files whose meaning is followed while the process runs: certificates and secrets are replaced by whoever renews
//! them. Looks at their content every second, as `control::file_watch` does and for its reasons. Invariant: what cannot
//! be read or understood changes nothing, and is told once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::source::BoxError;
use crate::telemetry::chain;

/// What some files mean, now and later. Cloning shares it.
pub struct Followed<T>(watch::Receiver<Arc<T>>);

impl<T> Clone for Followed<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// The files could not be read, or not be understood.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One of them could not be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// They do not make sense.
    #[error("{files} cannot be used")]
    Invalid {
        /// Their names.
        files: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
}

/// Keeps a [`Followed`] up to date.
pub struct Follower<T> {
    files: Vec<PathBuf>,
    understand: fn(&[Vec<u8>]) -> Result<T, BoxError>,
    /// What the files held when they were understood last, or refused.
    known: Vec<Vec<u8>>,
    /// What they held at the last look; `None`: they could not be read.
    last: Option<Vec<Vec<u8>>>,
    /// That they cannot be read was told.
    told: bool,
    sender: watch::Sender<Arc<T>>,
}

impl<T> Followed<T> {
    /// What never changes.
    pub fn fixed(value: T) -> Self {
        let (_, receiver) = watch::channel(Arc::new(value));
        Self(receiver)
    }

    /// Reads the files. `understand` is handed their contents in their order.
    pub fn open(
        files: Vec<PathBuf>,
        understand: fn(&[Vec<u8>]) -> Result<T, BoxError>,
    ) -> Result<(Self, Follower<T>), FilesError> {
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|source| FilesError::Unreadable { file: file.clone(), source })
        };
        let known: Vec<_> = files.iter().map(read).collect::<Result<_, _>>()?;
        let value = understand(&known).map_err(|source| FilesError::Invalid { files: names(&files), source })?;
        let (sender, receiver) = watch::channel(Arc::new(value));
        let last = Some(known.clone());
        Ok((Self(receiver), Follower { files, understand, known, last, told: false, sender }))
    }

    /// What they mean now.
    #[must_use]
    pub fn now(&self) -> Arc<T> {
        Arc::clone(&self.0.borrow())
    }
}

impl<T: Send + Sync> Follower<T> {
    /// Follows the files until nobody looks any more. What is seen counts when it has lasted for a second, so that a file
    /// that is being written is not read halfway, nor missed while it is replaced.
    pub async fn run(mut self) {
        while !self.sender.is_closed() {
            tokio::time::sleep(LOOK_EVERY).await;
            let seen = self.contents().await;
            self.look(seen);
        }
    }

    fn look(&mut self, seen: Result<Vec<Vec<u8>>, FilesError>) {
        match seen {
            Ok(contents) => {
                if self.last.as_ref() == Some(&contents) && contents != self.known {
                    self.take_up(contents.clone());
                }
                self.last = Some(contents);
                self.told = false;
            }
            Err(error) => {
                if self.last.take().is_none() && !self.told {
                    warn!(error = chain(&error), "what the file said before stays in force");
                    self.told = true;
                }
            }
        }
    }

    fn take_up(&mut self, contents: Vec<Vec<u8>>) {
        let files = names(&self.files);
        match (self.understand)(&contents) {
            Ok(value) => {
                self.sender.send_replace(Arc::new(value));
                info!(files, "files changed and were taken up");
            }
            Err(refused) => {
                let error = chain(&*refused);
                warn!(files, error, "changed files cannot be used: what they said before stays in force");
            }
        }
        self.known = contents;
    }

    async fn contents(&self) -> Result<Vec<Vec<u8>>, FilesError> {
        let mut contents = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let read = tokio::fs::read(file).await;
            contents.push(read.map_err(|source| FilesError::Unreadable { file: file.clone(), source })?);
        }
        Ok(contents)
    }
}

fn names(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" and ")
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_taken_up_and_one_without_sense_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("number");
        std::fs::write(&file, "1").unwrap();
        let (followed, follower) = Followed::open(vec![file.clone()], number).unwrap();
        let following = tokio::spawn(follower.run());

        std::fs::write(&file, "2").unwrap();
        until(&followed, 2).await;
        std::fs::write(&file, "two").unwrap();
        tokio::time::sleep(LOOK_EVERY * 5).await;
        assert_eq!(*followed.now(), 2);
        std::fs::write(&file, "3").unwrap();
        until(&followed, 3).await;

        drop(followed);
        following.await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_can_no_longer_be_read_is_told_once_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("number");
        std::fs::write(&file, "1").unwrap();
        let (followed, mut follower) = Followed::open(vec![file.clone()], number).unwrap();
        let there = follower.contents().await.unwrap();
        std::fs::remove_file(&file).unwrap();
        let mut told = Vec::new();

        for exists in [false, false, false, true, false] {
            let seen = if exists { Ok(there.clone()) } else { follower.contents().await };
            follower.look(seen);
            told.push(follower.told);
        }

        assert_eq!(told, [false, true, true, false, false], "a moment between two files is not told");
        assert_eq!(*followed.now(), 1);
    }

    #[test]
    fn files_without_sense_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("number");
        let missing = Followed::open(vec![file.clone()], number).err().unwrap();
        assert_eq!(missing.to_string(), format!("{} cannot be read", file.display()));

        std::fs::write(&file, "one").unwrap();
        let refused = Followed::open(vec![file.clone()], number).err().unwrap();
        assert_eq!(refused.to_string(), format!("{} cannot be used", file.display()));
    }

    async fn until(followed: &Followed<u8>, wanted: u8) {
        while *followed.now() != wanted {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn number(contents: &[Vec<u8>]) -> Result<u8, BoxError> {
        Ok(std::str::from_utf8(&contents[0])?.parse()?)
    }
}

//! The right of one process to a state directory: an exclusive lock on a file in it, which the system takes back when
//! the process ends, however it ends. The file's text, the holder's process id, only serves the refusal of others.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::Path;

use super::OpenError;

/// Held while this value lives.
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock, or says who has it. Never waits.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { directory: directory.to_owned(), source };
        let path = directory.join(LOCK);
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { directory: directory.to_owned(), holder: holder(&path) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn holder(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

const LOCK: &str = "lock";

//! Notices that the configuration file changed. Looks at its content every second instead of asking the system for
//! notices: that works on every file system, and through the symbolic links by which Kubernetes swaps a `ConfigMap`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Control;

/// Asks for a reload whenever the file has another text than the one `known` and kept it for a second, so that one that
/// is being written is not read halfway. A file that is away counts as unchanged, also one that is away again when it
/// is reloaded. Never returns.
pub async fn watch_file(path: PathBuf, known: String, control: Control) {
    let mut known = known.into_bytes();
    let mut last = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = content(&path).await;
        if let Some(changed) = now.as_ref().filter(|content| now == last && **content != known)
            && control.reload().await
        {
            known.clone_from(changed);
        }
        last = now;
    }
}

async fn content(path: &Path) -> Option<Vec<u8>> {
    tokio::fs::read(path).await.ok()
}

const LOOK_EVERY: Duration = Duration::from_secs(1);

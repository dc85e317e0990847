//! The setting `workerThreads` is that of the process, not only of its configuration.

use crate::support::daemon::{Daemon, Installation};

/// Others than the workers come and go, but not that many.
#[tokio::test]
async fn a_daemon_has_as_many_worker_threads_as_it_is_told() {
    let one = Installation::new().start().await;
    let many = Installation::new().with_variable("ESMD_WORKER_THREADS", "24").start().await;

    assert!(threads(&one) < 24, "one, and a few for files");
    assert!(threads(&many) >= 24, "{} only", threads(&many));
}

/// Those of the runtime.
fn threads(daemon: &Daemon) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon runs, on Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("tokio-")).count()
}

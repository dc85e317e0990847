//! A history that several tasks write down while a run goes on, with the moments at which things happen. The only reader
//! of a clock in `verify`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::judge::Moment;

/// The time since a run began, shared by its histories.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The moment that it is.
    #[must_use]
    pub fn now(self) -> Moment {
        Moment::after(self.0.elapsed())
    }
}

/// A history in the making. Cloning shares it.
#[derive(Debug)]
pub struct Shared<H>(Arc<Mutex<H>>);

impl<H> Shared<H> {
    /// Begins with what is known already.
    pub fn new(history: H) -> Self {
        Self(Arc::new(Mutex::new(history)))
    }

    /// What is written so far. Not to be held across an await.
    pub fn lock(&self) -> MutexGuard<'_, H> {
        // Each entry is added whole, so a panic elsewhere leaves none half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<H> Clone for Shared<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

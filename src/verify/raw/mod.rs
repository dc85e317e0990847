//! The raw receivers: plain clients that read a queue or a stream beside esmd and write down what they are given. They
//! know nothing of esmd's own way of reading, so what they see is the server's doing.

pub mod queue;
pub mod stream;

use std::time::Duration;

/// A reader that gets nothing but errors ends the run after so many.
const ERRORS_MAX: u32 = 50;
const ERROR_PAUSE: Duration = Duration::from_millis(200);

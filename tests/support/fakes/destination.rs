//! A destination in memory that keeps what it took, repetitions too, as a queue does. It works unless told otherwise.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use esmd::destination::{DeliveryError, Destination};
use esmd::event::failure::FailureRecord;
use futures_util::future::BoxFuture;

use super::lock;

/// The fake.
#[derive(Clone, Default)]
pub struct FakeDestination(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    missing: bool,
    hitches: VecDeque<Hitch>,
    delivered: Vec<FailureRecord>,
}

/// What is different about a delivery.
#[derive(Clone, Copy, Debug)]
pub enum Hitch {
    /// It fails, and may work the next time.
    Transient,
    /// It is refused.
    Refused,
    /// It works, but takes so long.
    Slow(Duration),
}

impl FakeDestination {
    /// Adds the same hitch to this many of the next deliveries, after those that have one already.
    pub fn hitch(&self, times: usize, hitch: Hitch) {
        lock(&self.0).hitches.extend(std::iter::repeat_n(hitch, times));
    }

    /// From now on it works.
    pub fn forget_hitches(&self) {
        lock(&self.0).hitches.clear();
    }

    /// Whether the destination exists. One that does not refuses.
    pub fn set_missing(&self, missing: bool) {
        lock(&self.0).missing = missing;
    }

    /// Every record taken, in order.
    pub fn delivered(&self) -> Vec<FailureRecord> {
        lock(&self.0).delivered.clone()
    }

    fn take(&self, failure: &FailureRecord) -> Result<(), DeliveryError> {
        let state = &mut *lock(&self.0);
        if state.missing {
            return Err(DeliveryError::Refused("the test says that it does not exist".into()));
        }
        state.delivered.push(failure.clone());
        Ok(())
    }
}

impl Destination for FakeDestination {
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(async move {
            let hitch = lock(&self.0).hitches.pop_front();
            match hitch {
                Some(Hitch::Transient) => return Err(DeliveryError::Transient("the test says so".into())),
                Some(Hitch::Refused) => return Err(DeliveryError::Refused("the test says so".into())),
                Some(Hitch::Slow(duration)) => tokio::time::sleep(duration).await,
                None => {}
            }
            self.take(failure)
        })
    }
}

//! A destination in the weather: what it took may go unanswered. The oracle sees every record that the daemon wants to
//! hand over, and what it hears of it.

use std::sync::Arc;

use esmd::destination::{DeliveryError, Destination};
use esmd::event::failure::FailureRecord;
use futures_util::future::BoxFuture;

use super::Link;
use crate::fakes::destination::FakeDestination;
use crate::weather::Part;

pub struct DestinationLink {
    pub inner: FakeDestination,
    pub link: Arc<Link>,
}

impl Destination for DestinationLink {
    fn deliver<'a>(&'a self, failure: &'a FailureRecord) -> BoxFuture<'a, Result<(), DeliveryError>> {
        let oracle = &self.link.oracle;
        let broken = |number: Option<u64>| match number.map(|number| number % 2) {
            Some(0) => Err(DeliveryError::Refused("the weather".into())),
            Some(_) | None => Err(DeliveryError::Transient("the weather".into())),
        };
        Box::pin(async move {
            oracle.delivering(failure);
            self.link.weather.count(&format!("told of {:?}", failure.condition));
            let delivered = self.link.call(Part::Destination, "deliver", self.inner.deliver(failure), broken).await;
            oracle.delivered(failure, delivered.is_ok());
            delivered
        })
    }
}

//! A function in the weather. The oracle sees every invocation that really begins, and whether its answer came back.

use std::sync::Arc;

use bytes::Bytes;
use esmd::core::Timestamp;
use esmd::event::response::Reply;
use esmd::mapping::EventSourceMapping;
use esmd::target::{DescribeError, Function, Target};
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::Link;
use crate::fakes::target::{FakeTarget, delivered, windowed};
use crate::oracle::{FlightId, Terms};
use crate::weather::{Fate, Part};

pub struct TargetLink {
    inner: FakeTarget,
    link: Arc<Link>,
    connection: u64,
    terms: Terms,
}

impl TargetLink {
    pub fn new(inner: FakeTarget, link: Arc<Link>, connection: u64, mapping: &EventSourceMapping) -> Self {
        Self { inner, link, connection, terms: Terms::of(mapping, None) }
    }

    async fn call(&self, payload: Bytes, start_before: Option<Timestamp>) -> Reply {
        let link = &self.link;
        let strike = link.weather.strike(Part::Target, "invoke");
        let (records, window) = (delivered(&payload), windowed(&payload));
        let began = || {
            let connection = (link.life, self.connection);
            let flight = link.oracle.began(connection, self.terms, &records, window.clone(), link.clock.now());
            InFlight { id: Some(flight), link }
        };
        let mut flight = match start_before {
            // A stream's records are taken for good. A message's lease may still end before the call is there.
            None => {
                let flight = began();
                sleep(strike.before).await;
                flight
            }
            Some(before) => {
                sleep(strike.before).await;
                if link.clock.now() >= before {
                    return Reply::NotStarted;
                }
                began()
            }
        };
        if link.weather.hangs() {
            std::future::pending::<()>().await;
        }
        let reply = match strike.fate {
            Fate::Panics => link.panic(),
            Fate::Fails(number) => refused(number),
            Fate::Works | Fate::Unanswered => {
                let reply = self.inner.invoke(payload, None).await;
                sleep(strike.after).await;
                match strike.fate {
                    Fate::Unanswered if link.weather.below(2) == 0 => Reply::TimedOut,
                    Fate::Unanswered => Reply::Unreachable { message: "the weather".to_owned() },
                    _ => reply,
                }
            }
        };
        let id = flight.id.take().expect("it ends once");
        link.oracle.ended(id, &reply);
        reply
    }
}

impl Target for TargetLink {
    fn describe(&self) -> BoxFuture<'_, Result<Function, DescribeError>> {
        let broken = |number: Option<u64>| {
            let missing = number.is_some_and(|number| number % 2 == 0);
            Err(if missing { DescribeError::Missing } else { DescribeError::Transient("the weather".into()) })
        };
        Box::pin(self.link.call(Part::Target, "describe", self.inner.describe(), broken))
    }

    fn invoke(&self, payload: Bytes, start_before: Option<Timestamp>) -> BoxFuture<'_, Reply> {
        Box::pin(self.call(payload, start_before))
    }
}

/// Tells the oracle if the daemon lets go of an invocation before its answer.
struct InFlight<'a> {
    id: Option<FlightId>,
    link: &'a Link,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.link.oracle.given_up(id, self.link.may_give_up());
        }
    }
}

/// What a target answers that does not run the function, of every class.
fn refused(number: u64) -> Reply {
    let refused = |status, code: &str| {
        let (code, message) = (code.to_owned(), "the weather".to_owned());
        Reply::Refused { status, code, message }
    };
    match number % 10 {
        0 | 1 => refused(429, "TooManyRequestsException"),
        2 => refused(503, ""),
        3 => Reply::from_error(500, "", "", b"<html>not what one expects</html>"),
        4 => Reply::from_error(500, "", "", br#"{"errorType":"Error","errorMessage":"unmarked"}"#),
        5 => refused(413, "RequestEntityTooLargeException"),
        6 => refused(403, "AccessDeniedException"),
        7 => refused(404, "ResourceNotFoundException"),
        8 => refused(409, "ResourceConflictException"),
        _ => Reply::Unreachable { message: "the weather".to_owned() },
    }
}

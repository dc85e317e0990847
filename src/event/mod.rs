//! Events as the function sees them: each record is rendered once, when it is read, and a payload is joined from the
//! rendered elements in one copy. Pure; knows no SDK type.

pub mod dynamodb;
pub mod failure;
pub mod kinesis;
mod partial;
pub mod response;
pub mod sqs;

use bytes::Bytes;

const PREFIX: &[u8] = b"{\"Records\":[";
const SUFFIX: &[u8] = b"]}";

/// The largest payload that the target takes (`docs/semantics.md` 3), in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 6_291_456;

/// Most bytes of a payload's elements, each counted with a comma; the last one has none.
pub const ELEMENT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - WRAPPER_BYTES + 1;

/// The bytes of a payload around its elements.
const WRAPPER_BYTES: usize = PREFIX.len() + SUFFIX.len();

/// Joins rendered elements to the event `{"Records":[…]}`.
#[must_use]
pub fn payload<'a>(elements: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let bytes: usize = elements.clone().map(|element| element.len() + 1).sum();
    let mut payload = Vec::with_capacity(WRAPPER_BYTES + bytes);
    payload.extend_from_slice(PREFIX);
    for (index, element) in elements.enumerate() {
        if index > 0 {
            payload.push(b',');
        }
        payload.extend_from_slice(element);
    }
    payload.extend_from_slice(SUFFIX);
    payload.into()
}

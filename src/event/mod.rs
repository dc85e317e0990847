//! Events as the function sees them: each record is rendered once, when it is read, and a payload is joined from the
//! rendered elements in one copy. Pure; knows no SDK type.

pub mod aggregated;
pub mod dynamodb;
pub mod failure;
pub mod kinesis;
mod partial;
pub mod response;
pub mod sqs;
pub mod window;

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
    append_elements(&mut payload, elements);
    payload.extend_from_slice(SUFFIX);
    payload.into()
}

fn append_elements<'a>(payload: &mut Vec<u8>, elements: impl Iterator<Item = &'a Bytes>) {
    for (index, element) in elements.enumerate() {
        if index > 0 {
            payload.push(b',');
        }
        payload.extend_from_slice(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/semantics.md` 3 and 9 (invariant 39).
    #[test]
    fn elements_that_fill_a_batch_fill_the_largest_payload() {
        let sizes = [1_000_000, 2, ELEMENT_BYTES_MAX - 1_000_002 - 3]; // and a comma each
        let elements = sizes.map(|size| Bytes::from(vec![b'1'; size]));
        assert_eq!(payload(elements.iter()).len(), PAYLOAD_BYTES_MAX);
    }
}

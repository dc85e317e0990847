//! Takes apart the aggregates of the Kinesis Producer Library: several records in one record's data (`docs/semantics.md`
//! 2.3). Pure. Invariant: what is not an aggregate in every byte, checksum included, is none, so it is delivered as it
//! is and nothing inside a broken one is lost.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use prost::Message as _;

/// One record of an aggregate. All else it shares with the record that held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerRecord {
    /// The key that its producer gave it.
    pub partition_key: Arc<str>,
    /// What its producer put: a part of the aggregate's buffer.
    pub data: Bytes,
}

/// The records of an aggregate in their order, at least one; `None` if the data is anything else.
#[must_use]
pub fn open(data: &Bytes) -> Option<Vec<InnerRecord>> {
    let sealed = data.starts_with(&MAGIC).then(|| data.slice(MAGIC.len()..))?;
    let end = sealed.len().checked_sub(CHECKSUM_BYTES)?;
    let (message, checksum) = (sealed.slice(..end), &sealed[end..]);
    if Md5::digest(&message).as_slice() != checksum {
        return None;
    }
    let Aggregate { partition_keys, records } = Aggregate::decode(message).ok()?;
    let partition_keys: Vec<Arc<str>> = partition_keys.into_iter().map(Arc::from).collect();
    let inner = |record: Inner| {
        let partition_key = Arc::clone(partition_keys.get(usize::try_from(record.partition_key?).ok()?)?);
        Some(InnerRecord { partition_key, data: record.data? })
    };
    let records: Option<Vec<InnerRecord>> = records.into_iter().map(inner).collect();
    records.filter(|records| !records.is_empty())
}

/// The producer library's message, without what nobody here needs: the keys' explicit hashes and the records' tags.
#[derive(Clone, PartialEq, prost::Message)]
struct Aggregate {
    #[prost(string, repeated, tag = "1")]
    partition_keys: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Inner>,
}

/// Both members are required, which shows only in their absence.
#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    /// The place in the table of keys.
    #[prost(uint64, optional, tag = "1")]
    partition_key: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

/// How every aggregate begins.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// What every aggregate ends with, of all between.
const CHECKSUM_BYTES: usize = 16;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `docs/semantics.md` 2.3. Written down byte for byte: two keys, an explicit hash, a tag, and a member that no
    /// version known here has.
    #[test]
    fn an_aggregate_is_taken_apart_in_its_order() {
        let message = [
            &b"\x0a\x01a\x0a\x02bc"[..],                          // the keys
            b"\x12\x0242",                                        // the explicit hashes
            b"\x1a\x05\x08\x00\x1a\x01x",                         // key 0, data "x"
            b"\x1a\x0b\x08\x01\x10\x00\x1a\x01y\x22\x02\x0a\x00", // key 1, hash 0, data "y", a tag
            b"\x1a\x04\x08\x00\x1a\x00",                          // key 0, no data
            b"\x78\x07",                                          // member 15
        ]
        .concat();

        let opened = open(&sealed(&message)).unwrap();

        assert_eq!(opened, [inner("a", b"x"), inner("bc", b"y"), inner("a", b"")]);
    }

    /// As it was put, a function can still make something of it; half of it would be lost for good.
    #[test]
    fn a_broken_aggregate_is_none() {
        let whole = aggregate(&[("a", b"x"), ("b", b"y")]);
        assert!(open(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(open(&whole.slice(..cut)), None, "cut at {cut}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.to_vec();
            flipped[place] ^= 1;
            assert_eq!(open(&flipped.into()), None, "another byte {place}");
        }
    }

    #[test]
    fn a_message_that_makes_no_sense_is_none_though_its_checksum_holds() {
        for (message, why) in [
            (&b""[..], "no record"),
            (b"\x0a\x01a", "keys and no record"),
            (b"\x0a\x01a\x1a\x05\x08\x01\x1a\x01x", "a key that is not in the table"),
            (b"\x0a\x01a\x1a\x03\x1a\x01x", "a record without key"),
            (b"\x0a\x01a\x1a\x02\x08\x00", "a record without data"),
            (b"\x0a\x01\xff\x1a\x05\x08\x00\x1a\x01x", "a key that is no text"),
            (b"\x0a\x01a\x1a\x05\x08\x00\x1a\x09x", "data longer than its record"),
            (b"\x0a\x01a\x1a\x0e\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x01x", "a key far outside the table"),
        ] {
            assert_eq!(open(&sealed(message)), None, "{why}");
        }
    }

    proptest! {
        #[test]
        fn what_a_producer_put_comes_out(
            records in prop::collection::vec((any::<String>(), prop::collection::vec(any::<u8>(), 0..60)), 1..40),
        ) {
            let records: Vec<(&str, &[u8])> = records.iter().map(|(key, data)| (&**key, &**data)).collect();

            let opened = open(&aggregate(&records)).unwrap();

            let expected: Vec<_> = records.iter().map(|(key, data)| inner(key, data)).collect();
            prop_assert_eq!(opened, expected);
        }

        /// With a checksum that holds, so that the message itself is read.
        #[test]
        fn arbitrary_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..300)) {
            _ = open(&message.clone().into());
            _ = open(&sealed(&message));
        }
    }

    /// As a producer that knows nothing of this file's types writes it.
    pub(crate) fn aggregate(records: &[(&str, &[u8])]) -> Bytes {
        let mut message = Vec::new();
        for (key, _) in records {
            append(&mut message, 0x0a, key.as_bytes());
        }
        for (index, (_, data)) in (0..).zip(records) {
            let mut record = vec![0x08];
            append_number(&mut record, index);
            append(&mut record, 0x1a, data);
            append(&mut message, 0x1a, &record);
        }
        sealed(&message)
    }

    fn sealed(message: &[u8]) -> Bytes {
        [&MAGIC, message, Md5::digest(message).as_slice()].concat().into()
    }

    fn append(message: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
        message.push(tag);
        append_number(message, bytes.len() as u64);
        message.extend_from_slice(bytes);
    }

    fn append_number(message: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            message.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        message.push(number.to_le_bytes()[0]);
    }

    fn inner(key: &str, data: &[u8]) -> InnerRecord {
        InnerRecord { partition_key: key.into(), data: Bytes::copy_from_slice(data) }
    }
}

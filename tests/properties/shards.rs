//! Listings of any kind: they leave shards out, come late, or are of another stream of the same name. Whatever they told,
//! what no longer takes records must come to its end at last, parents first.

use std::collections::BTreeMap;

use esmd::core::Timestamp;
use esmd::core::checkpoint::UpTo;
use esmd::core::record::ShardId;
use esmd::core::shards::{NewShard, Shard, ShardTree, StoredShard};
use esmd::mapping::StartingPosition;
use proptest::prelude::*;

const SHARDS: usize = 8;

/// What is said of each shard: parents older than itself, and whether it takes records.
type Lineage = Vec<(Vec<usize>, bool)>;

/// A lineage, which of its shards are listed, and which of those that may be read come to their end before the next.
type Listing = (Lineage, [bool; SHARDS], [bool; SHARDS]);

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// `docs/semantics.md` 6.3, invariant 88.
    #[test]
    fn no_shards_wait_for_each_other(listings in prop::collection::vec(listing(), 1..6)) {
        let mut rows = BTreeMap::new();
        for (lineage, is_listed, ends) in &listings {
            let tree = listed_again(listed(lineage, *is_listed), &mut rows);
            end(tree.readable().into_iter().filter(|id| ends[number(id)]), &mut rows);
        }

        let (lineage, is_listed, _) = listings.last().expect("there is one");
        let shards = listed(lineage, *is_listed);
        loop {
            let tree = listed_again(shards.clone(), &mut rows);
            let readable = tree.readable();
            for id in &readable {
                let shard = shards.iter().find(|shard| shard.id == *id);
                let unsettled = |parent: &ShardId| rows.get(parent).is_some_and(|row: &StoredShard| !row.ended);
                prop_assert!(!shard.is_some_and(|shard| shard.parents.iter().any(unsettled)), "{} overtakes", id);
            }
            let closed: Vec<_> = readable.into_iter().filter(|id| !is_open(&shards, id)).collect();
            if closed.is_empty() {
                break;
            }
            end(closed.into_iter(), &mut rows);
        }
        let held: Vec<_> = rows.values().filter(|row| !row.ended && !is_open(&shards, &row.id)).collect();
        prop_assert!(held.is_empty(), "nothing lets these be read: {:?}", held);
    }
}

/// What takes records has no children.
fn listing() -> impl Strategy<Value = Listing> {
    let parents = prop::collection::vec(prop::collection::vec(0..SHARDS, 0..=2), SHARDS);
    let lineage = (parents, any::<[bool; SHARDS]>()).prop_map(|(mut parents, may_be_open)| {
        for (shard, parents) in parents.iter_mut().enumerate() {
            parents.retain(|parent| *parent < shard);
        }
        let has_child = |shard: usize| parents.iter().any(|parents| parents.contains(&shard));
        let open: Vec<_> = (0..SHARDS).map(|shard| may_be_open[shard] && !has_child(shard)).collect();
        parents.into_iter().zip(open).collect()
    });
    (lineage, any::<[bool; SHARDS]>(), any::<[bool; SHARDS]>())
}

fn listed(lineage: &Lineage, is_listed: [bool; SHARDS]) -> Vec<Shard> {
    let shards = lineage.iter().enumerate().filter(|(shard, _)| is_listed[*shard]);
    let shard = |(shard, (parents, open)): (usize, &(Vec<usize>, bool))| Shard {
        id: id(shard),
        parents: parents.iter().copied().map(id).collect(),
        open: *open,
    };
    shards.map(shard).collect()
}

/// Brings the rows up to date, as the engine does.
fn listed_again(shards: Vec<Shard>, rows: &mut BTreeMap<ShardId, StoredShard>) -> ShardTree {
    let tree = ShardTree::new(shards.clone(), rows.values().cloned());
    for NewShard { id, waits_for, checkpoint } in tree.missing_rows(StartingPosition::TrimHorizon, Timestamp::default())
    {
        rows.insert(id.clone(), StoredShard { id, waits_for, ended: checkpoint.up_to == UpTo::Ended });
    }
    for obsolete in tree.obsolete_rows() {
        rows.remove(&obsolete);
    }
    ShardTree::new(shards, rows.values().cloned())
}

fn end(ids: impl Iterator<Item = ShardId>, rows: &mut BTreeMap<ShardId, StoredShard>) {
    for id in ids {
        rows.get_mut(&id).expect("what may be read has a row").ended = true;
    }
}

fn is_open(shards: &[Shard], id: &ShardId) -> bool {
    shards.iter().any(|shard| shard.id == *id && shard.open)
}

fn id(number: usize) -> ShardId {
    ShardId::new(number.to_string())
}

fn number(id: &ShardId) -> usize {
    id.as_str().parse().expect("a number")
}

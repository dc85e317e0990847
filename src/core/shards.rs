//! A stream's shards and what may be read now: a child begins only when all its parents are settled to their end
//! (`docs/semantics.md` 6.3, invariant 88). Pure: a listing and the stored rows in, decisions out.

use std::collections::{BTreeMap, BTreeSet};

use super::Timestamp;
use super::checkpoint::{Checkpoint, UpTo};
use super::record::ShardId;
use crate::mapping::StartingPosition;

/// A shard as its source lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// The shards it came from: none, one (split) or two (merge). They may no longer be listed.
    pub parents: Vec<ShardId>,
    /// Whether it still takes records.
    pub open: bool,
}

/// Who comes from whom, as listings told so far. A shard that is no longer listed does not say it any more, and may have
/// to wait all the same: for a parent whose records are held (invariant 88).
#[derive(Debug, Default)]
pub struct Lineage(BTreeMap<ShardId, Vec<ShardId>>);

impl Lineage {
    /// Takes a complete listing and every stored row; remembers the parents of every shard that has either.
    pub fn tree<'a>(
        &mut self,
        listed: Vec<Shard>,
        rows: impl IntoIterator<Item = (&'a ShardId, &'a Checkpoint)>,
    ) -> ShardTree {
        let mut tree = ShardTree::new(listed, rows);
        self.0.extend(tree.listed.values().map(|shard| (shard.id.clone(), shard.parents.clone())));
        self.0.retain(|id, _| tree.listed.contains_key(id) || tree.ended.contains_key(id));
        tree.parents.clone_from(&self.0);
        tree
    }
}

/// One complete listing beside the rows that the store has.
#[derive(Debug)]
pub struct ShardTree {
    listed: BTreeMap<ShardId, Shard>,
    parents: BTreeMap<ShardId, Vec<ShardId>>,
    /// Whether each stored shard is settled to its end.
    ended: BTreeMap<ShardId, bool>,
}

impl ShardTree {
    /// Takes a complete listing and every stored row.
    pub fn new<'a>(listed: Vec<Shard>, rows: impl IntoIterator<Item = (&'a ShardId, &'a Checkpoint)>) -> Self {
        Self {
            parents: listed.iter().map(|shard| (shard.id.clone(), shard.parents.clone())).collect(),
            listed: listed.into_iter().map(|shard| (shard.id.clone(), shard)).collect(),
            ended: rows.into_iter().map(|(id, row)| (id.clone(), row.up_to == UpTo::Ended)).collect(),
        }
    }

    /// The rows to make for shards that have none. Only the first listing of a mapping uses its starting position,
    /// with LATEST fixed to `now` and closed shards skipped; a shard first seen later begins at its beginning, or
    /// records would be lost (invariant 90).
    #[must_use]
    pub fn missing_rows(&self, starting_position: StartingPosition, now: Timestamp) -> Vec<(ShardId, Checkpoint)> {
        let first_listing = self.ended.is_empty();
        let begin = |shard: &Shard| match starting_position {
            _ if !first_listing => UpTo::TrimHorizon,
            StartingPosition::TrimHorizon => UpTo::TrimHorizon,
            StartingPosition::Latest if shard.open => UpTo::Latest(now),
            StartingPosition::Latest => UpTo::Ended,
            StartingPosition::AtTimestamp(at) => {
                UpTo::AtTimestamp(Timestamp::from_millis(at.as_millisecond().try_into().unwrap_or(0)))
            }
        };
        let missing = self.listed.values().filter(|shard| !self.ended.contains_key(&shard.id));
        missing.map(|shard| (shard.id.clone(), Checkpoint::at(begin(shard)))).collect()
    }

    /// The shards that may be read now, by name. Call it when every listed shard has a row.
    #[must_use]
    pub fn readable(&self) -> Vec<ShardId> {
        let unfinished = self.ended.iter().filter(|(_, ended)| !**ended).map(|(id, _)| id);
        unfinished.filter(|id| self.parents(id).all(|parent| self.is_settled(parent))).cloned().collect()
    }

    /// The rows that are no longer needed: settled to their end and not listed any more. Their children are listed or
    /// were, and have rows. A listing without any shard proves nothing.
    #[must_use]
    pub fn obsolete_rows(&self) -> BTreeSet<ShardId> {
        if self.listed.is_empty() {
            return BTreeSet::new();
        }
        let ended = self.ended.iter().filter(|(_, ended)| **ended).map(|(id, _)| id);
        ended.filter(|id| !self.listed.contains_key(*id)).cloned().collect()
    }

    /// Shards that were read to their end and are listed as open. A listing may lag behind the end of a shard; if it
    /// stays so, the stream was made anew under the same name (`docs/semantics.md` 6.2).
    pub fn reopened(&self) -> impl Iterator<Item = &ShardId> {
        let open = self.listed.values().filter(|shard| shard.open).map(|shard| &shard.id);
        open.filter(|id| self.ended.get(id).copied().unwrap_or(false))
    }

    /// A parent is settled when its row says so, or when it has neither row nor listing: it expired unseen.
    fn is_settled(&self, parent: &ShardId) -> bool {
        self.ended.get(parent).copied().unwrap_or_else(|| !self.listed.contains_key(parent))
    }

    fn parents(&self, id: &ShardId) -> impl Iterator<Item = &ShardId> {
        self.parents.get(id).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 88: a merge waits for both of its parents.
    #[test]
    fn a_child_waits_until_every_parent_is_settled_to_its_end() {
        let listed = vec![shard("a", &[], false), shard("b", &[], false), shard("c", &["a", "b"], true)];
        let tree = |a, b| tree(listed.clone(), &[("a", a), ("b", b), ("c", UpTo::TrimHorizon)]);
        assert_eq!(names(&tree(UpTo::TrimHorizon, UpTo::TrimHorizon).readable()), ["a", "b"]);
        assert_eq!(names(&tree(UpTo::Ended, UpTo::TrimHorizon).readable()), ["b"]);
        assert_eq!(names(&tree(UpTo::Ended, UpTo::Ended).readable()), ["c"]);
    }

    /// Invariant 89.
    #[test]
    fn siblings_of_a_split_are_read_side_by_side() {
        let listed = vec![shard("a", &[], false), shard("b", &["a"], true), shard("c", &["a"], true)];
        let tree = tree(listed, &[("a", UpTo::Ended), ("b", UpTo::TrimHorizon), ("c", UpTo::TrimHorizon)]);
        assert_eq!(names(&tree.readable()), ["b", "c"]);
    }

    /// `docs/semantics.md` 6.3: a parent that is no longer listed counts as settled, unless its checkpoint is unfinished.
    #[test]
    fn an_expired_parent_holds_its_child_only_while_its_own_row_is_unfinished() {
        let listed = vec![shard("b", &["a"], true)];
        assert_eq!(names(&tree(listed.clone(), &[("b", UpTo::TrimHorizon)]).readable()), ["b"]);
        let unfinished = tree(listed, &[("a", UpTo::TrimHorizon), ("b", UpTo::TrimHorizon)]);
        assert_eq!(names(&unfinished.readable()), ["a"]);
    }

    /// Invariant 88: found by the simulation. A parent that still retried held back its child, until the child expired.
    #[test]
    fn a_shard_that_expired_still_waits_for_its_parent_and_holds_back_its_own_children() {
        let listed = vec![shard("a", &[], false), shard("b", &["a"], false), shard("c", &["b"], true)];
        let unread = |id: &str| (ShardId::new(id), Checkpoint::at(UpTo::TrimHorizon));
        let rows = ["a", "b", "c"].map(unread);
        let rows = || rows.iter().map(|(id, row)| (id, row));
        let mut lineage = Lineage::default();
        lineage.tree(listed, rows());

        let tree = lineage.tree(vec![shard("c", &["b"], true)], rows());

        assert_eq!(names(&tree.readable()), ["a"]);
    }

    /// Invariant 90, and `docs/semantics.md` 6.1.
    #[test]
    fn latest_holds_for_the_first_listing_only() {
        let listed = vec![shard("a", &[], false), shard("b", &["a"], true)];
        let now = Timestamp::from_millis(7);
        let first = tree(listed.clone(), &[]).missing_rows(StartingPosition::Latest, now);
        let ups: Vec<_> = first.into_iter().map(|(_, row)| row.up_to).collect();
        assert_eq!(ups, [UpTo::Ended, UpTo::Latest(now)], "a shard closed at the start is skipped");
        let later = tree(listed, &[("a", UpTo::Latest(now))]).missing_rows(StartingPosition::Latest, now);
        assert_eq!(later, [(ShardId::new("b"), Checkpoint::at(UpTo::TrimHorizon))]);
    }

    #[test]
    fn an_open_shard_that_was_read_to_its_end_is_told() {
        let rows = [("a", UpTo::Ended), ("b", UpTo::Ended)];
        let tree = tree(vec![shard("a", &[], false), shard("b", &[], true)], &rows);
        assert_eq!(tree.reopened().collect::<Vec<_>>(), [&ShardId::new("b")]);
    }

    #[test]
    fn a_row_goes_when_its_shard_is_over_and_unlisted() {
        let listed = vec![shard("b", &[], false), shard("c", &["a"], true)];
        let rows = [("a", UpTo::Ended), ("b", UpTo::Ended), ("c", UpTo::TrimHorizon)];
        assert_eq!(names(&Vec::from_iter(tree(listed, &rows).obsolete_rows())), ["a"]);
    }

    #[test]
    fn a_listing_without_shards_forgets_nothing() {
        assert!(tree(Vec::new(), &[("a", UpTo::Ended)]).obsolete_rows().is_empty());
    }

    fn tree(listed: Vec<Shard>, rows: &[(&str, UpTo)]) -> ShardTree {
        let rows: Vec<_> = rows.iter().map(|(id, up_to)| (ShardId::new(*id), Checkpoint::at(up_to.clone()))).collect();
        ShardTree::new(listed, rows.iter().map(|(id, row)| (id, row)))
    }

    fn shard(id: &str, parents: &[&str], open: bool) -> Shard {
        Shard { id: ShardId::new(id), parents: parents.iter().copied().map(ShardId::new).collect(), open }
    }

    fn names(ids: &[ShardId]) -> Vec<&str> {
        ids.iter().map(ShardId::as_str).collect()
    }
}

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

/// A shard that gets its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewShard {
    /// Its name.
    pub id: ShardId,
    /// The shards that have to be settled to their end before it is read. Kept with the row: a shard that is no longer
    /// listed does not name its parents any more, and may have to wait for them all the same.
    pub waits_for: Vec<ShardId>,
    /// Where it begins.
    pub checkpoint: Checkpoint,
}

/// A shard that has its row.
#[derive(Clone, Debug)]
pub struct StoredShard {
    /// Its name.
    pub id: ShardId,
    /// What [`NewShard::waits_for`] said.
    pub waits_for: Vec<ShardId>,
    /// Whether it is settled to its end.
    pub ended: bool,
}

/// Shards that wait, by name, with those that they wait for.
pub type HeldBack = BTreeMap<ShardId, BTreeSet<ShardId>>;

/// One complete listing beside the rows that the store has.
#[derive(Debug)]
pub struct ShardTree {
    listed: BTreeMap<ShardId, Shard>,
    rows: BTreeMap<ShardId, StoredShard>,
}

impl ShardTree {
    /// Takes a complete listing and every stored row.
    pub fn new(listed: Vec<Shard>, rows: impl IntoIterator<Item = StoredShard>) -> Self {
        Self {
            listed: listed.into_iter().map(|shard| (shard.id.clone(), shard)).collect(),
            rows: rows.into_iter().map(|row| (row.id.clone(), row)).collect(),
        }
    }

    /// The rows to make for shards that have none. Only the first listing of a mapping uses its starting position,
    /// with LATEST fixed to `now` and closed shards skipped; a shard first seen later begins at its beginning, or
    /// records would be lost (invariant 90).
    #[must_use]
    pub fn missing_rows(&self, starting_position: StartingPosition, now: Timestamp) -> Vec<NewShard> {
        let first_listing = self.rows.is_empty();
        let begin = |shard: &Shard| match starting_position {
            _ if !first_listing => UpTo::TrimHorizon,
            StartingPosition::TrimHorizon => UpTo::TrimHorizon,
            StartingPosition::Latest if shard.open => UpTo::Latest(now),
            StartingPosition::Latest => UpTo::Ended,
            StartingPosition::AtTimestamp(at) => {
                UpTo::AtTimestamp(Timestamp::from_millis(at.as_millisecond().try_into().unwrap_or(0)))
            }
        };
        let missing = self.listed.values().filter(|shard| !self.rows.contains_key(&shard.id));
        let row = |shard: &Shard| NewShard {
            id: shard.id.clone(),
            waits_for: self.waits_for(shard),
            checkpoint: Checkpoint::at(begin(shard)),
        };
        missing.map(row).collect()
    }

    /// The shards that may be read now, by name. Call it when every listed shard has a row.
    #[must_use]
    pub fn readable(&self) -> Vec<ShardId> {
        self.unfinished().filter(|row| self.waits_now_for(row).next().is_none()).map(|row| row.id.clone()).collect()
    }

    /// The unfinished shards that may not be read yet, each with those that have to be settled to their end before.
    #[must_use]
    pub fn held_back(&self) -> HeldBack {
        let each = self.unfinished().map(|row| (row.id.clone(), self.waits_now_for(row).cloned().collect()));
        each.filter(|(_, waits_for): &(_, BTreeSet<_>)| !waits_for.is_empty()).collect()
    }

    /// The rows that are no longer needed: settled to their end and not listed any more. Their children are listed or
    /// were, and have rows. A listing without any shard proves nothing.
    #[must_use]
    pub fn obsolete_rows(&self) -> BTreeSet<ShardId> {
        if self.listed.is_empty() {
            return BTreeSet::new();
        }
        let unlisted = self.rows.values().filter(|row| !self.listed.contains_key(&row.id));
        unlisted.filter(|row| row.ended).map(|row| row.id.clone()).collect()
    }

    /// The shards that are settled to their end and still listed.
    pub fn over(&self) -> impl Iterator<Item = &ShardId> {
        self.listed.keys().filter(|id| self.rows.get(*id).is_some_and(|row| row.ended))
    }

    /// Shards that were read to their end and are listed as open. A listing may lag behind the end of a shard; if it
    /// stays so, the stream was made anew under the same name (`docs/semantics.md` 6.2).
    pub fn reopened(&self) -> impl Iterator<Item = &ShardId> {
        let open = self.listed.values().filter(|shard| shard.open).map(|shard| &shard.id);
        open.filter(|id| self.rows.get(id).is_some_and(|row| row.ended))
    }

    /// Who this unfinished shard still waits for; some may come twice.
    fn waits_now_for<'a>(&'a self, row: &'a StoredShard) -> impl Iterator<Item = &'a ShardId> {
        let parents = self.parents(&row.id).filter(|parent| !self.is_settled(parent));
        let is_awaited = |other: &&ShardId| !self.is_settled(other) && !self.cannot_precede(other, &row.id);
        parents.chain(row.waits_for.iter().filter(is_awaited))
    }

    /// Its parents. If one expired before it was ever listed, nobody can say where that one came from: then also
    /// whatever is unfinished and could be an ancestor, which is all that no longer takes records.
    fn waits_for(&self, shard: &Shard) -> Vec<ShardId> {
        let is_known = |parent: &ShardId| self.listed.contains_key(parent) || self.rows.contains_key(parent);
        let mut waits_for = shard.parents.clone();
        if !shard.parents.iter().all(is_known) {
            let closed = self.unfinished().filter(|row| self.listed.get(&row.id).is_none_or(|shard| !shard.open));
            waits_for.extend(closed.map(|row| row.id.clone()));
        }
        waits_for
    }

    /// A parent is settled when its row says so, or when it has neither row nor listing: it expired unseen.
    fn is_settled(&self, parent: &ShardId) -> bool {
        self.rows.get(parent).map_or_else(|| !self.listed.contains_key(parent), |row| row.ended)
    }

    /// Whether `other`, which the row of `shard` names, is no ancestor after all, or it could be waited for without end:
    /// what takes records has no descendants (the stream was made anew under the same name), and what waits for `shard`
    /// comes after it (a listing had left `shard` out).
    fn cannot_precede(&self, other: &ShardId, shard: &ShardId) -> bool {
        self.listed.get(other).is_some_and(|other| other.open) || self.is_behind(other, shard)
    }

    /// Whether `shard` waits for `other`, be it through third ones.
    fn is_behind(&self, shard: &ShardId, other: &ShardId) -> bool {
        let mut seen = BTreeSet::new();
        let mut ahead = vec![shard];
        while let Some(id) = ahead.pop() {
            if id == other {
                return true;
            }
            if seen.insert(id) && !self.is_settled(id) {
                let stored = self.rows.get(id).into_iter().flat_map(|row| &row.waits_for);
                ahead.extend(self.parents(id).chain(stored));
            }
        }
        false
    }

    fn parents(&self, id: &ShardId) -> impl Iterator<Item = &ShardId> {
        self.listed.get(id).into_iter().flat_map(|shard| &shard.parents)
    }

    fn unfinished(&self) -> impl Iterator<Item = &StoredShard> {
        self.rows.values().filter(|row| !row.ended)
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

    /// Who asks why a shard is not read learns for whom it waits, and of no one it need not wait for.
    #[test]
    fn a_shard_that_is_held_back_names_those_it_still_waits_for() {
        let listed = vec![shard("a", &[], false), shard("b", &[], false), shard("c", &["a", "b"], true)];
        let rows = |a| {
            let c = stored(new("c", &["a", "b", "expired"], UpTo::TrimHorizon));
            [stored(new("a", &[], a)), stored(new("b", &[], UpTo::TrimHorizon)), c]
        };

        let both = ShardTree::new(listed.clone(), rows(UpTo::TrimHorizon)).held_back();
        let one = ShardTree::new(listed, rows(UpTo::Ended)).held_back();

        let waits_for = |names: &[&str]| HeldBack::from([(ShardId::new("c"), ids(names).into_iter().collect())]);
        assert_eq!(both, waits_for(&["a", "b"]));
        assert_eq!(one, waits_for(&["b"]));
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
        let unread = |id: &str, waits_for: &[&str]| stored(new(id, waits_for, UpTo::TrimHorizon));
        let rows = [unread("a", &[]), unread("b", &["a"]), unread("c", &["b"])];

        let tree = ShardTree::new(vec![shard("c", &["b"], true)], rows);

        assert_eq!(names(&tree.readable()), ["a"]);
    }

    /// Invariant 88: found by the simulation. The store was away while b came, closed and expired, so that nobody knows
    /// that b came from a.
    #[test]
    fn the_child_of_a_shard_that_was_never_listed_waits_for_all_that_could_be_its_ancestors() {
        let rows = [("a", UpTo::TrimHorizon), ("done", UpTo::Ended), ("open", UpTo::TrimHorizon)];
        let listed = vec![shard("open", &[], true), shard("c", &["b"], false), shard("d", &["c"], true)];

        let found = tree(listed, &rows).missing_rows(StartingPosition::TrimHorizon, NOW);

        assert_eq!(found, [new("c", &["b", "a"], UpTo::TrimHorizon), new("d", &["c"], UpTo::TrimHorizon)]);
    }

    /// A listing left b out for a moment, so that c, which came from it, was listed first.
    #[test]
    fn a_shard_that_is_listed_after_its_child_does_not_wait_for_it_in_turn() {
        let late = [shard("b", &["expired"], false), shard("c", &["b"], false), shard("d", &["c"], true)];
        let mut rows = vec![stored(new("a", &[], UpTo::TrimHorizon))];
        for listed in [&late[1..], &late] {
            let found = ShardTree::new(listed.to_vec(), rows.clone()).missing_rows(StartingPosition::TrimHorizon, NOW);
            rows.extend(found.into_iter().map(stored));
        }

        for next in ["a", "b", "c", "d"] {
            assert_eq!(names(&ShardTree::new(late.to_vec(), rows.clone()).readable()), [next]);
            rows.iter_mut().filter(|row| row.id.as_str() == next).for_each(|row| row.ended = true);
        }
    }

    /// `docs/semantics.md` 6.2: a stream made anew has shards of the same names and another lineage. The row of 0 had
    /// been removed.
    #[test]
    fn a_shard_does_not_wait_for_one_that_takes_records_and_is_not_its_parent() {
        let rows = [new("0", &[], UpTo::TrimHorizon), new("1", &["0"], UpTo::TrimHorizon)].map(stored);

        let tree = ShardTree::new(vec![shard("0", &[], true), shard("1", &[], true)], rows);

        assert_eq!(names(&tree.readable()), ["0", "1"]);
    }

    /// What was trimmed before the mapping began held nothing for it.
    #[test]
    fn shards_of_the_first_listing_wait_for_no_one_they_do_not_name() {
        let listed = vec![shard("b", &["a"], false), shard("d", &["c"], true)];

        let found = tree(listed, &[]).missing_rows(StartingPosition::TrimHorizon, NOW);

        assert_eq!(found, [new("b", &["a"], UpTo::TrimHorizon), new("d", &["c"], UpTo::TrimHorizon)]);
    }

    /// Invariant 90, and `docs/semantics.md` 6.1.
    #[test]
    fn latest_holds_for_the_first_listing_only() {
        let listed = vec![shard("a", &[], false), shard("b", &["a"], true)];
        let first = tree(listed.clone(), &[]).missing_rows(StartingPosition::Latest, NOW);
        let ups: Vec<_> = first.into_iter().map(|row| row.checkpoint.up_to).collect();
        assert_eq!(ups, [UpTo::Ended, UpTo::Latest(NOW)], "a shard closed at the start is skipped");
        let later = tree(listed, &[("a", UpTo::Latest(NOW))]).missing_rows(StartingPosition::Latest, NOW);
        assert_eq!(later, [new("b", &["a"], UpTo::TrimHorizon)]);
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
        let tree = tree(listed, &rows);
        assert_eq!(names(&Vec::from_iter(tree.obsolete_rows())), ["a"]);
        assert_eq!(tree.over().collect::<Vec<_>>(), [&ShardId::new("b")]);
    }

    #[test]
    fn a_listing_without_shards_forgets_nothing() {
        assert!(tree(Vec::new(), &[("a", UpTo::Ended)]).obsolete_rows().is_empty());
    }

    fn tree(listed: Vec<Shard>, rows: &[(&str, UpTo)]) -> ShardTree {
        ShardTree::new(listed, rows.iter().map(|(id, up_to)| stored(new(id, &[], up_to.clone()))))
    }

    fn shard(id: &str, parents: &[&str], open: bool) -> Shard {
        Shard { id: ShardId::new(id), parents: ids(parents), open }
    }

    fn new(id: &str, waits_for: &[&str], up_to: UpTo) -> NewShard {
        NewShard { id: ShardId::new(id), waits_for: ids(waits_for), checkpoint: Checkpoint::at(up_to) }
    }

    fn stored(shard: NewShard) -> StoredShard {
        StoredShard { id: shard.id, waits_for: shard.waits_for, ended: shard.checkpoint.up_to == UpTo::Ended }
    }

    fn ids(names: &[&str]) -> Vec<ShardId> {
        names.iter().copied().map(ShardId::new).collect()
    }

    fn names(ids: &[ShardId]) -> Vec<&str> {
        ids.iter().map(ShardId::as_str).collect()
    }

    const NOW: Timestamp = Timestamp::from_millis(7);
}

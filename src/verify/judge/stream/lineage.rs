//! How the shards of a stream fit together: parents stay and end, children name them and share their hashes, and a closed
//! shard takes nothing. Judged by listings, by where records went and by which shards came to an end.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::{Entry, Kind, Sent, Story, TOLD_MAX, Violation, count, names};
use super::{Book, ListedShard, Listing, Read, ReadOutcome, Reshard, shard_of};

impl Book<'_> {
    /// After a split or merge the parents are listed and closed, and new shards name them and share their hashes.
    pub(super) fn reshards(&self, violations: &mut Vec<Violation>) {
        for reshard in &self.history.reshards {
            let next = self.history.reshards.iter().find(|other| other.began > reshard.done);
            let stood = |listing: &&Listing| next.is_none_or(|next| listing.began < next.began);
            let Some(after) = self.history.listings.iter().rfind(stood) else { continue };
            let mut complaints = Vec::new();
            for parent in &reshard.parents {
                match after.shards.iter().find(|shard| shard.id == *parent) {
                    None => complaints.push(format!("{parent} is no longer listed")),
                    Some(shard) if shard.is_open => complaints.push(format!("{parent} is listed as open")),
                    Some(_) => {}
                }
            }
            let children: Vec<&ListedShard> = after
                .shards
                .iter()
                .filter(|shard| reshard.parents.iter().any(|parent| shard.parents.contains(parent)))
                .collect();
            let expected = 3 - reshard.parents.len();
            if children.len() != expected {
                let found = children.len();
                complaints
                    .push(format!("{} expected that name their parents, {found} listed", count(expected, "shard")));
            } else if let Some(complaint) = self.divided_badly(reshard, &children) {
                complaints.push(complaint);
            }
            if !complaints.is_empty() {
                violations.push(self.bad_reshard(reshard, &complaints));
            }
        }
    }

    fn divided_badly(&self, reshard: &Reshard, children: &[&ListedShard]) -> Option<String> {
        let hashes = |id: &Arc<str>| self.shards.get(id).and_then(|(_, shard)| shard.hashes.clone());
        let before: Option<Vec<_>> = reshard.parents.iter().map(hashes).collect();
        let after: Option<Vec<_>> = children.iter().map(|child| child.hashes.clone()).collect();
        let (before, after) = (joined(before?), joined(after?));
        (before.is_none() || before != after).then(|| format!("the hashes were {before:?} and are {after:?}"))
    }

    fn bad_reshard(&self, reshard: &Reshard, complaints: &[String]) -> Violation {
        let mut story = Story::default();
        for parent in &reshard.parents {
            self.tell_shard(parent, &mut story);
        }
        for listing in self.history.listings.iter().filter(|listing| listing.began >= reshard.began) {
            story.tell(
                listing.began,
                format!("listed: {}", listing.shards.iter().map(told).collect::<Vec<_>>().join("; ")),
            );
        }
        let how = if reshard.parents.len() == 1 { "the split of" } else { "the merge of" };
        let what = format!("{how} {}: {}", reshard.parents.join(" and "), complaints.join("; "));
        story.show(Kind::Lineage, Vec::new(), what)
    }

    /// What was put after a shard was closed goes elsewhere, and a closed shard's reader comes to its end.
    pub(super) fn closed_shards(&self, violations: &mut Vec<Violation>) {
        for reshard in &self.history.reshards {
            for parent in &reshard.parents {
                let late: Vec<&Sent> = self
                    .history
                    .sent
                    .iter()
                    .filter(|sent| sent.began > reshard.done && shard_of(sent) == Some(&**parent))
                    .collect();
                if !late.is_empty() {
                    let entries: Vec<Entry> = late.iter().map(|sent| sent.entry.clone()).collect();
                    let mut story = Story::default();
                    late.iter().take(TOLD_MAX).for_each(|sent| sent.tell(&mut story));
                    self.tell_shard(parent, &mut story);
                    let what = format!(
                        "{parent} took {} after it was closed: {}",
                        count(late.len(), "record"),
                        names(&entries)
                    );
                    violations.push(story.show(Kind::Lineage, entries, what));
                }
                let is_over = |read: &Read| !matches!(read.outcome, ReadOutcome::Records(_)) && read.shard == *parent;
                if !self.history.reads.iter().any(is_over) {
                    let mut story = Story::default();
                    self.tell_shard(parent, &mut story);
                    story.tell(self.history.ended, "the watch ends; its reader is still given an iterator");
                    violations.push(story.show(
                        Kind::Lineage,
                        Vec::new(),
                        format!("{parent} is closed and never ends"),
                    ));
                }
            }
        }
    }

    /// The open shards of each listing share all hashes among themselves. The time of a reshard is left out.
    pub(super) fn ranges(&self, violations: &mut Vec<Violation>) {
        for listing in &self.history.listings {
            let is_between = |reshard: &Reshard| reshard.began <= listing.began && listing.began <= reshard.done;
            let open: Option<Vec<_>> =
                listing.shards.iter().filter(|shard| shard.is_open).map(|shard| shard.hashes.clone()).collect();
            let Some(open) = open.filter(|open| !open.is_empty()) else { continue };
            if !self.history.reshards.iter().any(is_between) && joined(open) != Some(0..=u128::MAX) {
                let mut story = Story::default();
                for shard in &listing.shards {
                    story.tell(listing.began, format!("listed: {} with hashes {:?}", told(shard), shard.hashes));
                }
                violations.push(story.show(Kind::Lineage, Vec::new(), "the open shards do not share all hashes"));
            }
        }
    }
}

fn told(shard: &ListedShard) -> String {
    let state = if shard.is_open { "open" } else { "closed" };
    match shard.parents.as_slice() {
        [] => format!("{} {state}", shard.id),
        parents => format!("{} {state} from {}", shard.id, parents.join(" and ")),
    }
}

/// Ranges that lie side by side without gap or overlap, as one.
fn joined(mut ranges: Vec<RangeInclusive<u128>>) -> Option<RangeInclusive<u128>> {
    ranges.sort_by_key(|range| *range.start());
    let mut ranges = ranges.into_iter();
    let first = ranges.next()?;
    ranges.try_fold(first, |joined, next| {
        (joined.end().checked_add(1) == Some(*next.start())).then(|| *joined.start()..=*next.end())
    })
}

//! Order at the function: along each key, one invocation of a key at a time, and parents before children.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::{Entry, Kind, Story, Violation};
use super::{Book, Fate, Invocation};

impl Book<'_> {
    /// Along each key, the first arrivals and the first successes are in the order sent. What never came, or never
    /// succeeded, is missed elsewhere.
    pub(super) fn order(&self, violations: &mut Vec<Violation>) {
        let mut arrivals: BTreeMap<&Arc<str>, Vec<(usize, &Entry)>> = BTreeMap::new();
        let mut successes: BTreeMap<&Arc<str>, Vec<(usize, &Entry)>> = BTreeMap::new();
        let is_certain = |entry: &Entry| self.sent.get(entry).is_some_and(|sent| sent.taken.is_some());
        for (entry, deliveries) in self.deliveries.iter().filter(|(entry, _)| is_certain(entry)) {
            arrivals.entry(&entry.key).or_default().extend(deliveries.first().map(|first| (first.number, *entry)));
            let success = deliveries.iter().find(|delivery| delivery.fate == Fate::Succeeded);
            successes.entry(&entry.key).or_default().extend(success.map(|first| (first.number, *entry)));
        }
        for (what, firsts) in [("first came", arrivals), ("first succeeded", successes)] {
            for (key, firsts) in firsts {
                // By number, since the map is; so a later one must not be in an earlier invocation.
                let Some(pair) = firsts.windows(2).find(|pair| pair[1].0 < pair[0].0 || self.is_inverted(pair)) else {
                    continue;
                };
                let [(_, earlier), (_, later)] = [pair[0], pair[1]];
                let mut story = self.story([earlier, later]);
                self.tell_kills(&mut story);
                let what = format!("key {key}: {} {what} after {}", earlier.number, later.number);
                violations.push(story.show(Kind::DeliveryOrder, vec![earlier.clone(), later.clone()], what));
            }
        }
    }

    /// Both in one invocation, the later one in front.
    fn is_inverted(&self, pair: &[(usize, &Entry)]) -> bool {
        let place = |entry: &Entry| {
            let records = &self.history.invocations[pair[0].0].records;
            records.iter().position(|record| record.seen.entry() == Some(entry))
        };
        pair[0].0 == pair[1].0 && place(pair[1].1) < place(pair[0].1)
    }

    pub(super) fn overlaps(&self, violations: &mut Vec<Violation>) {
        let mut last: BTreeMap<&Arc<str>, (usize, &Invocation)> = BTreeMap::new();
        for (number, invocation) in
            self.history.invocations.iter().enumerate().filter(|(_, invocation)| invocation.runs())
        {
            let keys: BTreeSet<&Arc<str>> =
                invocation.records.iter().filter_map(|record| Some(&record.seen.entry()?.key)).collect();
            for key in keys {
                let Some((before_number, before)) = last.insert(key, (number, invocation)) else { continue };
                if before.ended.is_none_or(|ended| ended > invocation.arrived) {
                    let mut story = Story::default();
                    before.tell(before_number, key, &mut story);
                    invocation.tell(number, key, &mut story);
                    let what = format!("key {key}: invocations {} and {} ran at once", before_number + 1, number + 1);
                    violations.push(story.show(Kind::OverlappingKey, Vec::new(), what));
                }
            }
        }
    }

    /// No invocation of a shard begins before the last one of each of its ancestors is over.
    pub(super) fn parents_first(&self, violations: &mut Vec<Violation>) {
        let mut by_shard: BTreeMap<&Arc<str>, Vec<(usize, &Invocation)>> = BTreeMap::new();
        for (number, invocation) in
            self.history.invocations.iter().enumerate().filter(|(_, invocation)| invocation.runs())
        {
            if let Some(shard) = invocation.records.first().and_then(|record| record.shard.as_ref()) {
                by_shard.entry(shard).or_default().push((number, invocation));
            }
        }
        for (child, invocations) in &by_shard {
            let first = invocations[0];
            for ancestor in self.ancestors(child) {
                let is_late = |(_, invocation): &&(usize, &Invocation)| {
                    invocation.ended.is_none_or(|ended| ended > first.1.arrived)
                };
                let Some(late) = by_shard.get(&ancestor).into_iter().flatten().find(is_late) else { continue };
                let mut story = Story::default();
                story.tell(first.1.arrived, format!("invocation {}, the first of {child}, arrives", first.0 + 1));
                story.tell(late.1.arrived, format!("invocation {} of {ancestor} arrives", late.0 + 1));
                let what = format!("{child} began before its ancestor {ancestor} was over");
                violations.push(story.show(Kind::ChildBeforeParent, Vec::new(), what));
            }
        }
    }

    fn ancestors(&self, shard: &Arc<str>) -> BTreeSet<Arc<str>> {
        let mut ancestors = BTreeSet::new();
        let mut next = vec![Arc::clone(shard)];
        while let Some(shard) = next.pop() {
            let parents = self.history.parents.get(&shard).into_iter().flatten();
            next.extend(parents.filter(|parent| ancestors.insert(Arc::clone(*parent))).cloned());
        }
        ancestors
    }
}

//! Whether a record meets a pattern's node. Works on the record's JSON as it is; no tree is built.
//!
//! A path leads to any number of places: a key may hold a list, and what it holds may be written with dots in the key
//! (`docs/semantics.md` 7.2). Conditions under one list of objects are held against one element at a time, and what is to
//! be absent is looked for in that element; only where nothing else is asked of the list, in all of them.

use std::ops::Bound;

use super::condition::Condition;
use super::json::Json;
use super::pattern::Node;

/// A value at the path that is being looked at, or what lies below it under a key with dots.
#[derive(Clone, Copy)]
pub(super) struct Site<'json> {
    /// What is left of the key.
    rest: Option<&'json str>,
    value: &'json Json<'json>,
}

impl<'json> From<&'json Json<'json>> for Site<'json> {
    fn from(value: &'json Json<'json>) -> Self {
        Self { rest: None, value }
    }
}

/// How a node stands to its sites.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    /// All of it holds, some of it by a value that is there.
    HoldsByPresence,
    /// All of it holds as nothing is there.
    HoldsByAbsence,
    Fails,
}

/// Whether the node's conditions, and all below them, hold at these sites.
pub(super) fn holds(node: &Node, sites: &[Site]) -> bool {
    judge(node, sites) != Verdict::Fails
}

/// What lies at a key of these sites.
pub(super) fn below<'json>(sites: &[Site<'json>], key: &str) -> Vec<Site<'json>> {
    sites.iter().flat_map(|site| site.below(key)).collect()
}

/// The values at these sites that are neither objects nor lists, those in lists included.
pub(super) fn leaves<'json>(sites: &[Site<'json>]) -> Vec<&'json Json<'json>> {
    let mut leaves = Vec::new();
    sites.iter().filter_map(|site| site.value()).for_each(|value| collect_leaves(value, &mut leaves));
    leaves
}

fn collect_leaves<'json>(value: &'json Json<'json>, leaves: &mut Vec<&'json Json<'json>>) {
    match value {
        Json::Object(_) => {}
        Json::List(values) => values.iter().for_each(|value| collect_leaves(value, leaves)),
        leaf => leaves.push(leaf),
    }
}

impl<'json> Site<'json> {
    /// The value, unless it lies deeper.
    pub(super) fn value(self) -> Option<&'json Json<'json>> {
        if self.rest.is_none() { Some(self.value) } else { None }
    }

    fn below(self, key: &str) -> Vec<Self> {
        if let Some(rest) = self.rest {
            return self.after(rest, key).into_iter().collect();
        }
        let Json::Object(members) = self.value else { return Vec::new() };
        let mut below: Vec<Self> = members.get(key).map(Self::from).into_iter().collect();
        let dotted = members.range::<str, _>((Bound::Excluded(key), Bound::Unbounded));
        let dotted = dotted.take_while(|(name, _)| name.starts_with(key));
        below.extend(dotted.filter_map(|(name, value)| Self::from(value).after(name, key)));
        below
    }

    /// The site behind the first level of a name with dots, if that level is the key.
    fn after(self, name: &'json str, key: &str) -> Option<Self> {
        let rest = name.strip_prefix(key)?;
        if rest.is_empty() {
            Some(Self { rest: None, ..self })
        } else {
            Some(Self { rest: Some(rest.strip_prefix('.')?), ..self })
        }
    }
}

fn judge(node: &Node, sites: &[Site]) -> Verdict {
    if node.children.is_empty() {
        return all_of(judge_conditions(node, &leaves(sites)));
    }
    let (mut together, mut elements) = (Vec::new(), Vec::new());
    for site in sites {
        let Some(Json::List(values)) = site.value() else {
            together.push(*site);
            continue;
        };
        let (containers, scalars): (Vec<&Json>, Vec<&Json>) = values.iter().partition(|value| value.is_container());
        elements.extend(containers.into_iter().map(Site::from));
        if !node.conditions.is_empty() {
            together.extend(scalars.into_iter().map(Site::from));
        }
    }
    if elements.is_empty() {
        return judge_together(node, &together);
    }
    let mut verdict = Verdict::HoldsByAbsence;
    for element in elements {
        together.push(element);
        match judge(node, &together) {
            Verdict::HoldsByPresence => return Verdict::HoldsByPresence,
            Verdict::HoldsByAbsence => {}
            Verdict::Fails => verdict = Verdict::Fails,
        }
        together.pop();
    }
    verdict
}

/// At sites of which none is a list.
fn judge_together(node: &Node, sites: &[Site]) -> Verdict {
    let leaves = leaves(sites);
    let of_children = node.children.iter().map(|(key, child)| judge(child, &below(sites, key)));
    all_of(judge_conditions(node, &leaves).chain(of_children))
}

fn judge_conditions<'all>(node: &'all Node, leaves: &'all [&Json]) -> impl Iterator<Item = Verdict> + 'all {
    node.conditions.iter().map(|condition| judge_leaves(condition, leaves))
}

fn all_of(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut all = Verdict::HoldsByAbsence;
    for one in verdicts {
        match one {
            Verdict::HoldsByPresence => all = Verdict::HoldsByPresence,
            Verdict::HoldsByAbsence => {}
            Verdict::Fails => return Verdict::Fails,
        }
    }
    all
}

fn judge_leaves(condition: &Condition, leaves: &[&Json]) -> Verdict {
    if leaves.iter().any(|leaf| condition.matches(leaf)) {
        Verdict::HoldsByPresence
    } else if leaves.is_empty() && condition.allows_absence() {
        Verdict::HoldsByAbsence
    } else {
        Verdict::Fails
    }
}

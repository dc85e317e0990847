//! Scenarios of mappings that filter.

use super::*;

/// Messages that match nothing are among the others of their group, repeated ones too, in any weather.
pub(super) fn filtered_queue(random: &mut Random) -> Plan {
    let fifo = random.chance(600);
    let mut plan = Plan { sieve: Some(a_sieve(random)), ..a_queue(random, fifo) };
    if !fifo {
        plan.actors.push(Box::new(Repeater { every: seconds(1)..=seconds(30) }));
    }
    if random.chance(500) { with_trouble(plan) } else { plan }
}

/// Records that match nothing fill pages, lie behind blocked keys, and end shards.
pub(super) fn filtered_stream(random: &mut Random) -> Plan {
    let mut plan = Plan { sieve: Some(a_sieve(random)), ..a_stream(random) };
    if random.chance(500) {
        plan.actors.push(resharder());
    }
    if random.chance(300) {
        plan.function.blocked = Some(("key-0".to_owned(), seconds(random.within(60..=900))));
    }
    if random.chance(500) { with_trouble(plan) } else { plan }
}

/// What matches nothing is left to others: to a rival, or to nobody.
pub(super) fn kept(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = a_queue(random, fifo);
    plan.feed = FeedPlan::Queue {
        fifo,
        visibility: seconds(random.within(30..=120)),
        wait: seconds(random.within(1..=20)),
        receives_max: Some(u32::try_from(random.within(2..=20)).unwrap()),
    };
    plan.sieve = Some(Sieve { keeps: true, ..a_sieve(random) });
    if random.chance(500) {
        plan.actors.push(Box::new(Rival { every: seconds(1)..=seconds(30) }));
    }
    plan
}

/// Few, some, most, or nothing passes.
fn a_sieve(random: &mut Random) -> Sieve {
    let choices: [&[u64]; 4] = [&[7], &[0, 3, 5, 8], &[0, 1, 2, 4, 5, 6, 7, 8, 9], &[]];
    Sieve { digits: random.pick(&choices), keeps: false }
}

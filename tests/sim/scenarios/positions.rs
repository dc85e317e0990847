//! Scenarios of reading: positions that are gone, sources that let nobody in, shards that others read too.

use super::*;

/// Records are trimmed while no daemon runs, and under readers that lag. Nothing else is passed over.
pub(super) fn trimmed(random: &mut Random) -> Plan {
    let keeps = seconds(random.within(30..=300));
    let mut plan = a_stream(random);
    plan.batch_size = count(random.spread(1..=20));
    plan.function.takes = seconds(0)..=seconds(random.within(1..=20));
    plan.lives = Lives { last: Some(seconds(1)..=keeps * 2), down: seconds(0)..=keeps * 3, ..Lives::short() };
    plan.lasts = keeps * 12;
    plan.actors = vec![
        Box::new(Producer {
            every: seconds(0)..=keeps / 4,
            burst: 1..=random.spread(1..=60),
            keys: random.spread(1..=40),
            hot: 0,
            records_max: 2_000,
        }),
        Box::new(Retention { keeps }),
    ];
    if random.chance(500) {
        plan.actors.push(resharder());
    }
    plan
}

/// A key fails for so long that its shard, and those that follow, expire while its records are held; some of them unseen,
/// if nobody may list them.
pub(super) fn expired_parents(random: &mut Random) -> Plan {
    let keeps = seconds(random.within(20..=90));
    let until = seconds(random.within(200..=900));
    let mut plan = a_stream(random);
    plan.function = Habits { blocked: Some(("key-0".to_owned(), until)), fails: 0, ..plan.function };
    plan.lives = Lives { last: Some(until / 2..=until), ..Lives::short() };
    plan.lasts = until + seconds(300);
    plan.actors = vec![
        Box::new(Producer {
            every: seconds(0)..=seconds(random.within(2..=40)),
            burst: 1..=10,
            keys: random.within(1..=6),
            hot: 300,
            records_max: 2_000,
        }),
        Box::new(Resharder { every: seconds(1)..=seconds(random.within(5..=60)), shards_max: 3 }),
        Box::new(Retention { keeps }),
    ];
    if random.chance(500) {
        plan.climate = Climate::default();
        plan.actors.push(Box::new(Gatekeeper {
            every: seconds(120)..=seconds(240),
            last: seconds(120)..=seconds(120) + keeps * 3,
        }));
    }
    plan
}

/// The source denies every call for minutes, an hour at most. Nothing begins again for it, and no attempt is used up.
pub(super) fn denied(random: &mut Random) -> Plan {
    let fifo = random.chance(500);
    let mut plan = if random.chance(700) { a_stream(random) } else { a_queue(random, fifo) };
    plan.climate = Climate::default();
    plan.is_steady = true;
    plan.lives = Lives { last: Some(seconds(600)..=seconds(7_200)), ..Lives::short() };
    plan.lasts = seconds(random.within(1_800..=14_400));
    plan.actors
        .push(Box::new(Gatekeeper { every: seconds(120)..=seconds(1_200), last: seconds(120)..=seconds(3_600) }));
    plan
}

/// Other consumers read the same shards, which answer five reads a second and refuse the others.
pub(super) fn crowded(random: &mut Random) -> Plan {
    let mut plan = a_stream(random);
    plan.reads_max = Some(5);
    plan.is_steady = true;
    plan.climate = Climate::default();
    plan.function.slows = 0;
    plan.actors
        .push(Box::new(Reader { every: seconds(0)..=Duration::from_millis(random.spread(20..=2_000)), reads: 1..=5 }));
    if random.chance(500) {
        plan.actors.push(resharder());
    }
    plan
}

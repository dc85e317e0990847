//! The same life twice is the same: what a test shows once, it shows always.

use std::time::Duration;

use tokio::runtime::Builder;

use crate::fakes::Fault;
use crate::fakes::target::Answer;
use crate::world::{World, seconds, sleep};

#[test]
fn the_same_life_twice_has_the_same_invocations_at_the_same_times() {
    let live = || {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(a_life_of_trouble())
    };
    assert_eq!(live(), live());
}

/// Everything that it says of its invocations.
async fn a_life_of_trouble() -> String {
    let world = World::of_stream(3).await.with_lanes(5).with_batch_size(7);
    world.target.answer(|invocation| {
        let answer = match invocation.number % 7 {
            2 => Answer::fail(),
            5 => Answer::throttle(),
            _ => Answer::succeed(),
        };
        answer.after(Duration::from_millis((invocation.number as u64 * 31) % 300))
    });
    world.put(0..300, 40);
    let life = world.start();
    sleep(seconds(2)).await;
    let [first, second, _] = <[_; 3]>::try_from(world.source.open_shards()).unwrap();
    world.source.fail_receives(&first, [Fault::Transient, Fault::Panic, Fault::Throttled]);
    world.source.merge(&first, &second);
    world.put(300..400, 40);
    sleep(Duration::from_millis(700)).await;
    life.crash().await;
    let life = world.start();
    world.until_delivered(0..400).await;
    life.drain().await;
    world.assert_first_deliveries_in_order();
    format!("{:#?}", world.target.invocations())
}

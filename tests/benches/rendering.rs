//! Rendering: bytes a second of a Kinesis event of 6 MB, beside one copy of as many bytes.

mod allocator;
mod measure;

use bytes::Bytes;
use esmd::core::Timestamp;
use esmd::core::record::ShardId;
use esmd::event::kinesis::{Renderer, StreamRecord};
use esmd::event::payload;

const EVENTS: usize = 20;

fn main() {
    println!("rendering: {EVENTS} Kinesis events of about 6 MB, each record rendered and all joined");
    println!("{:>12}   {:<26} {:<26} CPU / baseline", "record bytes", "GB/CPU s of the event", "baseline: one copy");
    for size in [100, 1_000, 10_000, 1_000_000] {
        let data = vec![7; size];
        let count = 4_500_000 / (size + 300);
        let bytes = event(&data, count).len();
        let copied = vec![b'x'; bytes];
        let compared = measure::beside(
            || (),
            |()| (0..EVENTS).map(|_| std::hint::black_box(event(&data, count)).len()).sum::<usize>(),
            |()| (0..EVENTS).map(|_| std::hint::black_box(Bytes::copy_from_slice(&copied)).len()).sum(),
        );
        let gigabytes = (EVENTS * bytes) as f64 / 1e9;
        println!(
            "{size:>12}   {:<26} {:<26} {}",
            compared.cpu.rate(gigabytes).to_string(),
            compared.baseline_cpu.rate(gigabytes).to_string(),
            compared.ratio
        );
    }
}

fn event(data: &[u8], count: usize) -> Bytes {
    let renderer = Renderer::new(
        &ShardId::new("shardId-000000000000"),
        "arn:aws:iam::123456789012:role/worker",
        "eu-west-1",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks",
    );
    let mut scratch = Vec::new();
    let elements: Vec<Bytes> = (0..count.max(1))
        .map(|_| {
            let record = StreamRecord {
                partition_key: Some("customer-1234"),
                sequence_number: "49660000000000000000000000000000000000000000000000000002",
                data,
                arrived_at: Timestamp::from_millis(1_760_700_041_123),
            };
            renderer.render(record, &mut scratch)
        })
        .collect();
    payload(elements.iter())
}

//! Every random number of a run, from one seed. A part that needs some forks a source of its own, so that what one part
//! draws moves no other.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A source of random numbers (`SplitMix64`): small, seeded, the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A source of its own for one part.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Less than `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// Small values as often as large ones: each power of two is as likely as the next.
    pub fn spread(&mut self, range: RangeInclusive<u64>) -> u64 {
        let bits = self.within(0..=u64::from((range.end() - range.start() + 1).ilog2()));
        (range.start() + self.below(2 << bits)).min(*range.end())
    }

    pub fn duration(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap();
        Duration::from_millis(self.within(millis(range.start())..=millis(range.end())))
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }
}

/// The finalizer of `SplitMix64`.
fn mix(input: u64) -> u64 {
    let mut bits = input;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

//! What the destination is told of records that are given up (`docs/semantics.md` 6.7).

use esmd::core::record::SequenceNumber;
use esmd::event::failure::FailureRecord;
use esmd::mapping::on_failure::Undeliverable;

use super::StreamBook;
use crate::fakes::target::{delivered, windowed};
use crate::oracle::Verdict;
use crate::oracle::flight::Carried;

impl StreamBook {
    /// A failure record says exactly which records it is about, and only what the rules give up is given up.
    pub fn delivering(&mut self, failure: &FailureRecord) -> Verdict {
        let batch = &failure.batch;
        let id = &batch.shard;
        let given_up = delivered(&failure.payload);
        let records: Vec<_> = given_up.iter().map(Carried::new).collect();
        let numbers: Vec<_> = records.iter().map(|record| record.number).collect();
        self.now = self.now.max(failure.discarded_at);
        if self.is_lease_lost(id) {
            return Err(format!("{id} gives up {numbers:?} after it was told that its lease is lost"));
        }
        let window = windowed(&failure.payload);
        let is_final = window.as_ref().is_some_and(|window| window.is_final);
        if failure.window.is_some() != window.is_some() || (numbers.is_empty() && failure.batch.records.is_some()) {
            return Err(format!("a failure record tells {:?} of {window:?}", failure.batch.records));
        }
        if numbers.is_empty() && is_final {
            return Ok(());
        }
        let [Some(first), Some(last)] = [numbers.first(), numbers.last()].map(|number| Some(&self.records[*number?]))
        else {
            return Err("a failure record names nobody".to_owned());
        };
        let Some(told) = &batch.records else { return Err(format!("a failure record tells nothing of {numbers:?}")) };
        let told = (
            &told.first_sequence_number,
            &told.last_sequence_number,
            told.first_arrived_at,
            told.last_arrived_at,
            told.size,
        );
        let [first_number, last_number] = [first, last].map(|record| SequenceNumber::new(record.place.to_string()));
        if told != (&first_number, &last_number, first.arrived_at, last.arrived_at, numbers.len()) {
            return Err(format!("a failure record tells {told:?} of {numbers:?}"));
        }
        if let Some(number) = numbers.iter().find(|number| self.shard_of(**number) != id) {
            return Err(format!("{number} is told as one of {id}"));
        }
        for (index, record) in records.iter().enumerate() {
            if let Some(older) = self.older_undone(record, &numbers[..index]) {
                return Err(format!("{} of key {} is given up before {older}", record.number, record.key));
            }
        }
        let reading = &self.shards[id].reading;
        let Some(terms) = reading.terms else { return Err(format!("{numbers:?} is given up and was never read")) };
        if let Some(number) = numbers.iter().find(|number| !reading.held.contains(*number)) {
            return Err(format!("{number} is given up, and it is settled or was never read"));
        }
        reading.parts.judge_telling(&numbers, failure, terms, self)?;
        let reading = &mut self.shards.get_mut(id).expect("it was just there").reading;
        reading.parts.tell(&numbers, &failure.id);
        Ok(())
    }

    /// The daemon heard what became of it.
    pub fn delivered(&mut self, failure: &FailureRecord, is_taken: bool) {
        let reading = &mut self.shards.get_mut(&failure.batch.shard).expect("it is known").reading;
        let drops = reading.terms.is_some_and(|terms| terms.undeliverable == Some(Undeliverable::Drop));
        if is_taken || drops {
            if let Some(window) = windowed(&failure.payload) {
                self.windows.given_up(&failure.batch.shard, &window);
            }
            let numbers: Vec<_> =
                delivered(&failure.payload).iter().map(|record| Carried::new(record).number).collect();
            reading.parts.given_up(&numbers);
            for number in numbers {
                reading.held.remove(&number);
                self.records[number].discarded = true;
            }
        }
    }
}

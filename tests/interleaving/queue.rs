//! The commit queue: nothing is answered before it is on disk, and nobody waits for ever.

use std::sync::Arc;
use std::time::Duration;

use mintgate::protocol::id::FamilyId;
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::Change;
use shuttle::future::block_on;
use shuttle::sync::Mutex;
use shuttle::thread;

use crate::store::embedded::queue::{Batch, Patience, Queue, Work};
use crate::store::shards::Journal as _;
use crate::{in_many_orders, is_found_out};

const NOW: UnixSeconds = UnixSeconds(1_000);
const CALLERS: u8 = 3;

/// The names of the changes on disk, in their order.
type Disk = Mutex<Vec<u8>>;

fn revoke(name: u8) -> Change {
    Change::RevokeFamily { family: FamilyId([0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, name]) }
}

/// The order of the writer's two acts.
#[derive(Clone, Copy)]
enum Acts {
    WriteThenSay,
    SayThenWrite,
}

/// Serves `queue` until it is told to stop, or until `writes_max` batches are written: the next one fails.
fn write_all(queue: &Queue, disk: &Disk, writes_max: usize, acts: Acts) {
    let write = |batch: &Batch| {
        let mut disk = disk.lock().unwrap();
        batch.drafts.iter().for_each(|draft| disk.extend(&draft.changes));
    };
    let mut writes = 0;
    loop {
        match queue.next(Patience::Wait, Duration::ZERO) {
            Work::Write(batch) if writes == writes_max => return queue.poison(Some(&batch)),
            Work::Write(batch) => {
                writes += 1;
                match acts {
                    Acts::WriteThenSay => {
                        write(&batch);
                        queue.landed(&batch);
                    }
                    Acts::SayThenWrite => {
                        queue.landed(&batch);
                        write(&batch);
                    }
                }
            }
            Work::Tick(_) | Work::Nothing => (),
            Work::Stop => return,
        }
    }
}

/// Callers who note a change and wait; whoever is told yes finds its change on disk, and what it saw before.
fn answers_are_lasting(writes_max: usize, acts: Acts) {
    let (queue, disk) = (Arc::new(Queue::new()), Arc::new(Disk::new(Vec::new())));
    // What memory holds: changed under a lock under which the change is noted too, as a shard does.
    let memory = Arc::new(Mutex::new(Vec::new()));
    let writer = {
        let (queue, disk) = (Arc::clone(&queue), Arc::clone(&disk));
        thread::spawn(move || write_all(&queue, &disk, writes_max, acts))
    };
    let callers: Vec<_> = (1..=CALLERS)
        .map(|name| {
            let (queue, disk, memory) = (Arc::clone(&queue), Arc::clone(&disk), Arc::clone(&memory));
            thread::spawn(move || {
                if queue.admit().is_err() {
                    return;
                }
                let seen = {
                    let mut memory = memory.lock().unwrap();
                    // The last only looks: its answer rests on what the others did.
                    if name < CALLERS {
                        memory.push(name);
                        queue.note(&revoke(name), NOW);
                    }
                    memory.clone()
                };
                if block_on(queue.settled()).is_ok() {
                    let disk = disk.lock().unwrap();
                    assert!(seen.iter().all(|name| disk.contains(name)), "{seen:?} was answered, {disk:?} is on disk");
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    queue.tick(NOW);
    queue.stop();
    writer.join().unwrap();
    let (memory, disk) = (memory.lock().unwrap(), disk.lock().unwrap());
    assert!(memory.starts_with(&disk) && (writes_max < CALLERS.into() || *memory == *disk), "{memory:?}, {disk:?}");
    assert_eq!(queue.is_poisoned(), disk.len() < memory.len());
}

#[test]
fn what_was_answered_is_on_disk_in_every_order() {
    in_many_orders(|| answers_are_lasting(usize::MAX, Acts::WriteThenSay));
}

#[test]
fn a_failed_write_answers_nobody_yes_in_every_order() {
    in_many_orders(|| answers_are_lasting(0, Acts::WriteThenSay));
    in_many_orders(|| answers_are_lasting(1, Acts::WriteThenSay));
}

#[test]
fn an_answer_before_the_write_is_found_out() {
    is_found_out(|| answers_are_lasting(usize::MAX, Acts::SayThenWrite));
}

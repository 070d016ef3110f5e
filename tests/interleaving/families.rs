//! The compare-and-set of families: two who refresh, one who revokes.

use std::sync::Arc;
use std::time::Duration;

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, EpochOf, RetryRules, Rotated, Rotation, Verdict};
use mintgate::store::Settings;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use crate::store::shards::{NoJournal, Shards};
use crate::{in_many_orders, is_found_out};

const NOW: UnixSeconds = UnixSeconds(1_000);
const NO_RETRY: RetryRules = RetryRules { window: Duration::ZERO, per_generation_max: 0, per_day_max: 0 };

fn family() -> FamilyId {
    FamilyId::new([1; 12], UnixSeconds(90_000))
}

fn order(from: u32) -> Rotation {
    Rotation {
        family: family(),
        from: Generation(from),
        subject: Subject::from("usr_a"),
        client: ClientId::from("app"),
        auth_time: UnixSeconds(900),
        retry: NO_RETRY,
    }
}

fn shards() -> Arc<Shards> {
    Arc::new(Shards::new(Settings { entries_max: 100, ..Settings::default() }))
}

/// Two present the same token; `rotate` is how.
fn one_of_two_advances(rotate: fn(&Shards) -> bool) {
    let shards = shards();
    let two = [(); 2].map(|()| {
        let shards = Arc::clone(&shards);
        thread::spawn(move || rotate(&shards))
    });
    let advanced = two.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>();
    assert_eq!(advanced, 1, "one generation, one successor (I1)");
}

#[test]
fn one_of_two_advances_in_every_order() {
    in_many_orders(|| {
        one_of_two_advances(|shards| matches!(shards.rotate(&order(0), NOW, &NoJournal), Ok(Rotated::Advanced { .. })));
    });
}

#[test]
fn a_check_apart_from_its_change_is_found_out() {
    is_found_out(|| {
        one_of_two_advances(|shards| {
            if shards.family(family(), NOW).judge(Generation(0), &NO_RETRY, NOW) != Verdict::Current {
                return false;
            }
            let change = Change::RotateFamily { family: family(), from: Generation(0), to: Generation(1), at: NOW };
            shards.commit(&[change], NOW, &NoJournal).is_ok()
        });
    });
}

/// One refreshes again and again while another revokes; after the revocation was acknowledged nothing advances.
fn nothing_after_the_acknowledgement(revocation: Change, judge: fn(&Shards, u32) -> bool) {
    let (shards, acknowledged) = (shards(), Arc::new(AtomicBool::new(false)));
    let revoker = {
        let (shards, acknowledged) = (Arc::clone(&shards), Arc::clone(&acknowledged));
        thread::spawn(move || {
            shards.commit(&[revocation], NOW, &NoJournal).unwrap();
            acknowledged.store(true, Ordering::SeqCst);
        })
    };
    for from in 0..3 {
        let late = acknowledged.load(Ordering::SeqCst);
        let advanced = judge(&shards, from);
        assert!(!(late && advanced), "a new token after the acknowledgement (I2)");
    }
    revoker.join().unwrap();
    assert!(!judge(&shards, shards.family(family(), NOW).generation.0));
}

fn rotate(shards: &Shards, from: u32) -> bool {
    matches!(shards.rotate(&order(from), NOW, &NoJournal), Ok(Rotated::Advanced { .. }))
}

#[test]
fn a_revoked_family_stays_so_in_every_order() {
    in_many_orders(|| nothing_after_the_acknowledgement(Change::RevokeFamily { family: family() }, rotate));
}

#[test]
fn a_subject_that_logged_out_everywhere_stays_out_in_every_order() {
    in_many_orders(|| {
        let of = EpochOf::Subject(Subject::from("usr_a"));
        let moved = Change::MoveEpoch { of, not_before: NOW, ends_at: UnixSeconds(90_000) };
        nothing_after_the_acknowledgement(moved, rotate);
    });
}

#[test]
fn a_denied_token_is_seen_by_every_later_look_up() {
    use mintgate::protocol::id::Jti;
    in_many_orders(|| {
        let (shards, acknowledged) = (shards(), Arc::new(AtomicBool::new(false)));
        let (dated, undated) = (Jti([1; 16]), Jti([2; 16]));
        let end = UnixSeconds(1_300);
        let writer = {
            let (shards, acknowledged) = (Arc::clone(&shards), Arc::clone(&acknowledged));
            thread::spawn(move || {
                let both = [
                    Change::DenyJti { jti: dated, expires_at: end },
                    Change::DenyUndatedJti { jti: undated, until: end },
                ];
                shards.commit(&both, NOW, &NoJournal).unwrap();
                acknowledged.store(true, Ordering::SeqCst);
            })
        };
        let janitor = {
            let shards = Arc::clone(&shards);
            thread::spawn(move || shards.tick(NOW))
        };
        let late = acknowledged.load(Ordering::SeqCst);
        assert!(!late || shards.is_denied(dated, end, NOW));
        assert!(!late || shards.is_denied(undated, end, NOW));
        writer.join().unwrap();
        janitor.join().unwrap();
        assert!(shards.is_denied(dated, end, NOW) && shards.is_denied(undated, end, NOW));
        assert!(!shards.is_denied(Jti([3; 16]), end, NOW));
    });
}

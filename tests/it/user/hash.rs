//! The password hash pool. A clock that a test can hold stops a thread where it would start a comparison.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mintgate::ambient::{Clock, ManualClock, SystemEntropy};
use mintgate::protocol::time::UnixSeconds;
use mintgate::user::hash::{HashError, HashPool, HashSettings};
use mintgate::user::phc::{Cost, Memory, Phc};
use zeroize::Zeroizing;

const SMALL: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
const SETTINGS: HashSettings = HashSettings { threads: 1, queue_max: 1, wait_max: Duration::from_secs(5), cost: SMALL };

/// Shows the time to the test at once, and to the pool's thread only while the gate is open.
#[derive(Default)]
struct Gate {
    clock: ManualClock,
    state: Mutex<GateState>,
    moved: Condvar,
}

#[derive(Default)]
struct GateState {
    closed: bool,
    held: bool,
}

impl Gate {
    fn close(&self) {
        self.state.lock().unwrap().closed = true;
    }

    fn open(&self) {
        self.state.lock().unwrap().closed = false;
        self.moved.notify_all();
    }

    /// Until the pool's thread stands at the gate.
    fn wait_until_held(&self) {
        let state = self.state.lock().unwrap();
        drop(self.moved.wait_while(state, |state| !state.held).unwrap());
    }
}

impl Clock for Gate {
    fn now(&self) -> UnixSeconds {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        if std::thread::current().name().is_some_and(|name| name.starts_with("password-")) {
            let mut state = self.state.lock().unwrap();
            while state.closed {
                state.held = true;
                self.moved.notify_all();
                state = self.moved.wait(state).unwrap();
            }
            state.held = false;
        }
        self.clock.monotonic()
    }
}

fn pool(settings: HashSettings) -> (HashPool, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let pool = HashPool::start(settings, Arc::clone(&gate) as Arc<dyn Clock>, &SystemEntropy).expect("starts");
    (pool, gate)
}

fn stored(password: &str, cost: Cost) -> Arc<str> {
    Arc::from(Phc::new(password, cost, &SystemEntropy, &mut Memory::default()).unwrap().to_string())
}

fn secret(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.to_owned())
}

type Verdict = Result<bool, HashError>;

fn poll(future: &mut Pin<Box<impl Future<Output = Verdict>>>) -> Poll<Verdict> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn right_wrong_unknown_and_unreadable() {
    let (pool, _) = pool(SETTINGS);
    let phc = stored("correct horse", SMALL);
    assert_eq!(pool.verify(secret("correct horse"), Some(Arc::clone(&phc))).await, Ok(true));
    assert_eq!(pool.verify(secret("correct horsf"), Some(phc)).await, Ok(false));
    assert_eq!(pool.verify(secret("correct horse"), None).await, Ok(false));
    assert_eq!(pool.verify(secret("correct horse"), Some(Arc::from("plain"))).await, Ok(false));
    assert_eq!(pool.verify(secret(""), None).await, Ok(false));
}

#[tokio::test]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let (pool, _) = pool(SETTINGS);
    let phc = stored("correct horse", SMALL);
    let mut costs = Vec::new();
    for (password, phc) in [("correct horse", Some(&phc)), ("wrong", Some(&phc)), ("wrong", None)] {
        let before = pool.figures();
        pool.verify(secret(password), phc.cloned()).await.expect("compared");
        let after = pool.figures();
        costs.push((after.verified - before.verified, after.work - before.work));
    }
    assert_eq!(costs, [(1, 64); 3]);
}

#[tokio::test]
async fn an_over_long_password_is_never_hashed() {
    let (pool, _) = pool(SETTINGS);
    assert_eq!(pool.verify(secret(&"x".repeat(1_025)), None).await, Ok(false));
    assert_eq!(pool.figures().verified, 0);
    assert_eq!(pool.verify(secret(&"x".repeat(1_024)), None).await, Ok(false));
    assert_eq!(pool.figures().verified, 1);
}

#[tokio::test]
async fn memory_is_taken_late_kept_and_grown_within_the_cap() {
    let (pool, _) = pool(SETTINGS);
    assert_eq!(pool.figures().held_kib, 0, "an idle server holds none");
    for _ in 0..5 {
        pool.verify(secret("x"), None).await.expect("compared");
        assert_eq!(pool.figures().held_kib, 64);
    }
    let larger = Cost { memory_kib: 256, ..SMALL };
    assert_eq!(pool.verify(secret("x"), Some(stored("x", larger))).await, Ok(true));
    assert_eq!(pool.figures().held_kib, 256);
    let bomb = stored("x", SMALL).replace("m=64", "m=4194304");
    assert_eq!(pool.verify(secret("x"), Some(Arc::from(bomb))).await, Ok(false));
    assert_eq!(pool.figures().held_kib, 256, "a stored cost above the cap is not paid");
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let (pool, gate) = pool(SETTINGS);
    gate.close();
    let mut first = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut first).is_pending());
    gate.wait_until_held();
    let mut second = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut second).is_pending(), "one may wait");
    let mut third = Box::pin(pool.verify(secret("x"), None));
    let Poll::Ready(Err(HashError::Busy { retry_after })) = poll(&mut third) else { panic!("not refused") };
    assert!(retry_after >= Duration::from_secs(1) && pool.figures().refused == 1);
    // Who goes away makes room, and costs nothing.
    drop(second);
    let mut fourth = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut fourth).is_pending());
    gate.open();
    assert_eq!((first.await, fourth.await), (Ok(false), Ok(false)));
    let figures = pool.figures();
    assert_eq!((figures.verified, figures.skipped, figures.waiting), (2, 1, 0));
}

#[tokio::test]
async fn who_has_gone_away_is_left_out() {
    let (pool, gate) = pool(HashSettings { queue_max: 9, ..SETTINGS });
    gate.close();
    let mut first = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut first).is_pending());
    gate.wait_until_held();
    for _ in 0..3 {
        let mut gone = Box::pin(pool.verify(secret("x"), None));
        assert!(poll(&mut gone).is_pending());
    }
    let mut last = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut last).is_pending());
    gate.open();
    assert_eq!((first.await, last.await), (Ok(false), Ok(false)));
    assert_eq!((pool.figures().verified, pool.figures().skipped), (2, 3));
}

#[tokio::test]
async fn a_turn_that_comes_too_late_is_refused() {
    let (pool, gate) = pool(SETTINGS);
    gate.close();
    let mut late = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut late).is_pending());
    gate.wait_until_held();
    gate.clock.advance(Duration::from_secs(6));
    gate.open();
    assert!(matches!(late.await, Err(HashError::Busy { .. })));
    assert_eq!(pool.figures().verified, 0);
}

#[tokio::test]
async fn a_dropped_pool_answers_nobody_and_ends() {
    let (pool, gate) = pool(SETTINGS);
    gate.close();
    let shared = Arc::new(pool);
    let asker = Arc::clone(&shared);
    let mut first = Box::pin(async move { asker.verify(secret("x"), None).await });
    assert!(poll(&mut first).is_pending());
    gate.wait_until_held();
    drop(first);
    drop(Arc::into_inner(shared).expect("the last one"));
    gate.open();
}

#[test]
fn the_threads_run_at_the_lowest_priority() {
    let (pool, gate) = pool(SETTINGS);
    gate.close();
    let mut first = Box::pin(pool.verify(secret("x"), None));
    assert!(poll(&mut first).is_pending());
    gate.wait_until_held();
    // Field 19 of stat (proc_pid_stat(5)); the name before it stands in parentheses.
    let nice =
        |stat: &str| -> i32 { stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap() };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
    let (pool_threads, others): (Vec<String>, Vec<String>) = stats.partition(|stat| stat.contains("(password-0)"));
    assert!(pool_threads.iter().any(|stat| nice(stat) == 19), "{pool_threads:?}");
    let own = nice(&std::fs::read_to_string("/proc/self/stat").unwrap());
    assert!(others.iter().all(|stat| nice(stat) == own), "only the pool's threads step back: {others:?}");
    gate.open();
}

#[tokio::test]
async fn an_unknown_user_costs_what_the_directorys_users_cost_whatever_form_they_are_stored_in() {
    let django = "pbkdf2_sha256$1000$seasalt12$LJ9fn3pQS/rsdXPFQk/Wuje22q/pjlmcegWRwgq7lw8=";
    let (pool, _) = pool(SETTINGS);
    pool.expect(django);
    let mut work = Vec::new();
    for (password, stored) in [("wrong", None), ("correct horse", Some(django)), ("wrong", None), ("wrong", Some("!x"))]
    {
        let before = pool.figures().work;
        let right = pool.verify(secret(password), stored.map(Arc::from)).await.expect("compared");
        assert_eq!(right, password == "correct horse");
        work.push(pool.figures().work - before);
    }
    assert_eq!(work, [1_000; 4]);
}

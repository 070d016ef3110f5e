//! `cargo bench --bench state`: the state in memory and on disk, against the targets. See `benches/README.md`.
//!
//! `-- quick` leaves out 100 million entries, `-- memory`, `-- disk` and `-- start` everything but that. Everything durable is written to `target/bench-state`, on the disk of this
//! package, and removed afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]
#![allow(missing_docs, clippy::disallowed_methods)]

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mintgate::protocol::id::{ClientId, FamilyId, Generation, Jti, Subject};
use mintgate::protocol::time::UnixSeconds;
use mintgate::state::{Change, RetryRules, Rotated, Rotation};
use mintgate::store::embedded::Sync;
use mintgate::store::{EmbeddedStore, MemoryStore, Settings, Store};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const END: UnixSeconds = UnixSeconds(1_800_000_300);
const FAMILY_END: UnixSeconds = UnixSeconds(1_807_000_000);
const LOOK_UPS: usize = 4_000_000;
const SPAN: Duration = Duration::from_secs(3);

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let only = |name: &str| std::env::args().any(|argument| argument == name);
    println!("load {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    println!("measured: while no other program had the processor; wall: with their turns in it\n");
    println!("{:44} {:>10} {:>8} {:>8}", "what", "measured", "must", "aim");
    if !only("disk") && !only("start") {
        in_memory(quick);
    }
    if only("memory") {
        return;
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench-state");
    let _ = std::fs::remove_dir_all(&folder);
    if only("start") {
        std::fs::create_dir_all(&folder).unwrap();
    } else {
        durable(&folder);
    }
    start(&folder);
    let _ = std::fs::remove_dir_all(&folder);
}

/// Prints one line of the table: what, how much, and what it should be at the most.
fn line(what: &str, measured: f64, target: Option<(f64, f64)>, note: &str) {
    let (must, aim, verdict) = match target {
        Some((must, aim)) if measured <= aim => (must.to_string(), aim.to_string(), "aim reached"),
        Some((must, aim)) if measured <= must => (must.to_string(), aim.to_string(), "must reached"),
        Some((must, aim)) => (must.to_string(), aim.to_string(), "MISSED"),
        None => (String::new(), String::new(), ""),
    };
    println!("{what:44} {measured:>10.2} {must:>8} {aim:>8} {verdict:12} {note}");
}

/// The targets of one size; `None` where there is none.
struct Targets {
    size: usize,
    bytes: Option<(f64, f64)>,
    miss: Option<(f64, f64)>,
    hit: Option<(f64, f64)>,
    insert: Option<(f64, f64)>,
    gone: Option<(f64, f64)>,
}

fn in_memory(quick: bool) {
    let bytes = Some((16.0, 10.5));
    let rows = [
        Targets { size: 1_000_000, bytes: None, miss: Some((40.0, 20.0)), hit: None, insert: None, gone: None },
        Targets {
            size: 10_000_000,
            bytes,
            miss: Some((100.0, 60.0)),
            hit: None,
            insert: Some((10.0, 1.0)),
            gone: Some((20.0, 3.0)),
        },
        Targets {
            size: 100_000_000,
            bytes,
            miss: Some((120.0, 60.0)),
            hit: Some((250.0, 130.0)),
            insert: None,
            gone: None,
        },
    ];
    for targets in rows.iter().take(if quick { 2 } else { 3 }) {
        let (ours, theirs) = (denylist(targets.size), hash_set(targets.size));
        ours.print(&theirs, targets);
    }
    for size in [1_000_000, 10_000_000] {
        families(size);
    }
}

/// Numbers that look random and can be made again: entry `n` of a set is `mix(n)`.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn id(n: u64) -> [u8; 16] {
    ((u128::from(mix(n ^ 0x5555_5555_0000_0000)) << 64) | u128::from(mix(n))).to_be_bytes()
}

fn settings() -> Settings {
    Settings { entries_max: 200_000_000, ..Settings::default() }
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// How often this thread has lost its processor to another program.
fn interruptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// Processor time of the whole process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = |field: usize| stat.split(' ').nth(field).unwrap().parse::<f64>().unwrap();
    (ticks(13) + ticks(14)) / 100.0
}

/// What many small steps took; and, because other programs use the machine too, only those that none of them interrupted.
#[derive(Clone, Copy, Default)]
struct Took {
    own: Duration,
    own_steps: usize,
    own_worst: Duration,
    wall: Duration,
    steps: usize,
    worst: Duration,
}

impl Took {
    /// Runs `step` for every number below `count`, a few between two looks at the interruptions.
    fn of(count: usize, together: usize, mut step: impl FnMut(u64)) -> Self {
        let mut took = Self::default();
        let mut before = interruptions();
        for first in (0..count).step_by(together) {
            let (mut sum, mut worst) = (Duration::ZERO, Duration::ZERO);
            let last = count.min(first + together);
            // Single steps are worth a look at the clock only if they are few.
            let each = together <= STEPS_TIMED_EACH;
            let began = Instant::now();
            for n in first..last {
                let began = each.then(Instant::now);
                step(n as u64);
                worst = worst.max(began.map_or(Duration::ZERO, |began| began.elapsed()));
            }
            sum += began.elapsed();
            took.steps += last - first;
            took.wall += sum;
            took.worst = took.worst.max(worst);
            let after = interruptions();
            if after == before {
                took.own_steps += last - first;
                took.own += sum;
                took.own_worst = took.own_worst.max(worst);
            }
            before = after;
        }
        took
    }

    /// Nanoseconds a step: undisturbed, and of all.
    fn nanos(&self) -> [f64; 2] {
        [(self.own, self.own_steps), (self.wall, self.steps)]
            .map(|(span, steps)| span.as_secs_f64() * 1e9 / steps.max(1) as f64)
    }
}

const STEPS_TIMED_EACH: usize = 256;

/// Time of all look-ups, and how many said yes.
fn look_up(from: u64, entries: usize, mut ask: impl FnMut(u64) -> bool) -> (Took, usize) {
    // In an order that no cache foresees; the next does not wait for the one before, as in a server.
    let entries = entries as u64;
    let mut yes = 0;
    let took = Took::of(LOOK_UPS, 10_000, |n| yes += usize::from(ask(from + mix(n ^ 0xabcd) % entries)));
    (took, yes)
}

/// What came out for one set of one size.
struct Figures {
    counted: usize,
    resident: usize,
    miss: Took,
    hit: Took,
    insert: Took,
    gone: Took,
}

impl Figures {
    fn print(&self, other: &Self, targets: &Targets) {
        let millions = targets.size / 1_000_000;
        let say = |what: &str, value: f64, target, note: String| {
            line(&format!("denylist, {millions} M: {what}"), value, target, &note);
        };
        let each = |bytes: usize| bytes as f64 / targets.size as f64;
        let rss = format!("RSS {:.2}; hashbrown {:.2}", each(self.resident), each(other.resident));
        say("bytes an entry", each(self.counted), targets.bytes, rss);
        for (what, own, other, target) in
            [("miss", self.miss, other.miss, targets.miss), ("hit", self.hit, other.hit, targets.hit)]
        {
            let ([ns, wall], [other_ns, other_wall]) = (own.nanos(), other.nanos());
            let ratio = ns / other_ns;
            let note = format!("wall {wall:.0}; hashbrown {other_ns:.0} (wall {other_wall:.0}), ratio {ratio:.2}");
            say(&format!("{what}, ns"), ns, target, note);
        }
        let (worst, theirs) = (millis(self.insert.worst), millis(other.insert.worst));
        let note = format!("wall {worst:.2}; hashbrown {theirs:.0}");
        say("worst insert, ms", millis(self.insert.own_worst), targets.insert, note);
        let note = format!("hashbrown {:.1}", millis(other.gone.wall));
        say("drop, ms", millis(self.gone.wall), targets.gone, note);
    }
}

fn denylist(size: usize) -> Figures {
    let runtime = runtime();
    let before = resident();
    let store = MemoryStore::new(settings());
    let insert = Took::of(size, STEPS_TIMED_EACH, |n| {
        let changes = vec![Change::DenyJti { jti: Jti(id(n)), expires_at: END }];
        runtime.block_on(store.commit(changes, NOW)).unwrap();
    });
    let resident = resident().saturating_sub(before);
    let counted = store.figures().state.bytes;
    assert_eq!(store.figures().state.jtis, size, "two ids of one tag are unlikely enough to be a mistake");
    let (hit, yes) = look_up(0, size, |n| store.is_denied(Jti(id(n)), END, NOW));
    assert_eq!(yes, LOOK_UPS);
    let (miss, yes) = look_up(1 << 40, size, |n| store.is_denied(Jti(id(n)), END, NOW));
    assert_eq!(yes, 0);
    let gone = Took::of(1, 1, |_| store.tick(UnixSeconds(END.0 + 60)));
    Figures { counted, resident, miss, hit, insert, gone }
}

/// Ids are random: their own bits are their hash.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, n: u128) {
        self.0 = n as u64;
    }
}

/// hashbrown, as the standard library has it: one table, no lock.
fn hash_set(size: usize) -> Figures {
    let before = resident();
    let mut set: HashSet<u128, BuildHasherDefault<AsIs>> = HashSet::default();
    let insert = Took::of(size, STEPS_TIMED_EACH, |n| {
        set.insert(u128::from_be_bytes(id(n)));
    });
    let resident = resident().saturating_sub(before);
    let (hit, _) = look_up(0, size, |n| set.contains(&u128::from_be_bytes(id(n))));
    let (miss, _) = look_up(1 << 40, size, |n| set.contains(&u128::from_be_bytes(id(n))));
    let counted = set.capacity() * 8 / 7 * 17;
    let gone = Took::of(1, 1, |_| set = HashSet::default());
    Figures { counted, resident, miss, hit, insert, gone }
}

fn family(n: u64) -> FamilyId {
    let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = id(n);
    FamilyId::new([a, b, c, d, e, f, g, h, i, j, k, l], FAMILY_END)
}

fn rotated(n: u64) -> Change {
    Change::RotateFamily { family: family(n), from: Generation(0), to: Generation(1), at: NOW }
}

fn families(size: usize) {
    let runtime = runtime();
    let before = resident();
    let store = MemoryStore::new(settings());
    for first in (0..size as u64).step_by(1_000) {
        runtime.block_on(store.commit((first..first + 1_000).map(rotated).collect(), NOW)).unwrap();
    }
    let state = store.figures().state;
    assert_eq!(state.families, size);
    let each = |bytes: usize| bytes as f64 / size as f64;
    let grown = resident().saturating_sub(before);
    let what = format!("families, {} M, idle: bytes each", size / 1_000_000);
    line(&what, each(state.bytes), Some((32.0, 20.0)), &format!("RSS {:.2}", each(grown)));
}

/// Syncs a second of one writer that appends to a file of its own.
fn sync_rate(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("sync")).unwrap();
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < SPAN {
        file.write_all(&[1; 512]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// Refreshes a second of `writers`, each with a family of its own, each waiting for its acknowledgement.
fn refreshes(runtime: &tokio::runtime::Runtime, store: Arc<dyn Store>, writers: u64) -> (f64, Vec<Duration>) {
    let count = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|n| {
            let (store, count) = (Arc::clone(&store), Arc::clone(&count));
            runtime.spawn(async move {
                let mut waits = Vec::new();
                for from in 0.. {
                    if began.elapsed() > SPAN {
                        break;
                    }
                    let order = Rotation {
                        family: family(1_000_000_000 + writers * 1_000 + n),
                        from: Generation(from),
                        subject: Subject::from("usr_a"),
                        client: ClientId::from("app"),
                        auth_time: NOW,
                        retry: RetryRules::default(),
                    };
                    let asked = Instant::now();
                    let rotated = store.rotate(order, NOW).await.unwrap();
                    assert!(matches!(rotated, Rotated::Advanced { .. }), "{rotated:?}");
                    waits.push(asked.elapsed());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                waits
            })
        })
        .collect();
    let mut waits: Vec<Duration> = tasks.into_iter().flat_map(|task| runtime.block_on(task).unwrap()).collect();
    waits.sort_unstable();
    (count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64(), waits)
}

fn durable(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let runtime = runtime();
    println!("\ndurability writers   syncs/s       acks/s   / sync rate    p50 ms    p99 ms");
    for (name, sync) in [("always", Some(Sync::AtOnce)), ("batch", Some(Sync::Shared)), ("none", None)] {
        for writers in [1, 64, 512] {
            let store: Arc<dyn Store> = match sync {
                Some(sync) => Arc::new(EmbeddedStore::open(folder, settings(), sync, UnixSeconds(0)).unwrap()),
                None => Arc::new(MemoryStore::new(settings())),
            };
            // Syncs just before, because what else uses the disk comes and goes.
            let rate = sync_rate(folder);
            let (acks, waits) = refreshes(&runtime, store, writers);
            let at = |part: usize| millis(waits[waits.len() * part / 100]);
            let ratio = acks / rate;
            println!("{name:10} {writers:>7} {rate:>9.0} {acks:>12.0} {ratio:>13.1} {:>9.3} {:>9.3}", at(50), at(99));
            let _ = std::fs::remove_dir_all(folder);
            std::fs::create_dir_all(folder).unwrap();
        }
    }
    println!("target: 64 writers, always: >= 6 (aim 20) times the sync rate; it is {:.0}/s now\n", sync_rate(folder));
    let _ = std::fs::remove_dir_all(folder);
}

fn start(folder: &Path) {
    const SIZE: u64 = 10_000_000;
    const EACH: u64 = 64;
    let runtime = runtime();
    let open = |folder: &Path| EmbeddedStore::open(folder, settings(), Sync::AtOnce, UnixSeconds(0)).unwrap();
    let store = Arc::new(open(folder));
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (store, next) = (Arc::clone(&store), Arc::clone(&next));
            runtime.spawn(async move {
                loop {
                    let first = next.fetch_add(EACH, Ordering::Relaxed);
                    if first >= SIZE {
                        break;
                    }
                    // Half families, half tokens.
                    let change = |n: u64| match n % 2 {
                        0 => rotated(n),
                        _ => Change::DenyJti { jti: Jti(id(n)), expires_at: END },
                    };
                    store.commit((first..first + EACH).map(change).collect(), NOW).await.unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
    println!("start               10 M entries written in {:.1} s", began.elapsed().as_secs_f64());
    let crashed = folder.join("crashed");
    std::fs::create_dir_all(&crashed).unwrap();
    std::fs::copy(folder.join("state.redb"), crashed.join("state.redb")).unwrap();
    drop(store);
    for (name, folder) in [("after a crash", crashed.as_path()), ("after a clean end", folder)] {
        let size = std::fs::metadata(folder.join("state.redb")).unwrap().len() >> 20;
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let store = open(folder);
        let took = began.elapsed();
        assert_eq!(store.figures().state.entries() as u64, SIZE);
        let note = format!("file {size} MiB; cpu of all threads {:.2}", cpu_seconds() - cpu);
        line(&format!("start with 10 M entries {name}, s of wall"), took.as_secs_f64(), Some((3.0, 0.5)), &note);
    }
    println!("load {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
}

//! Who is counted, what is remembered, who falls out.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use mintgate::keys::census::survey::Standing;
use mintgate::keys::census::{Census, Edition, Fetched, NAME_BYTES_MAX, Settings, Who};
use mintgate::keys::lifecycle::{KeyRecord, KeyState, KeyUse};
use mintgate::protocol::algorithm::Algorithm;
use mintgate::protocol::id::Kid;
use mintgate::protocol::time::UnixSeconds;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn edition(etag: &str, kids: &[&str]) -> Arc<Edition> {
    Arc::new(Edition { etag: etag.to_owned(), kids: kids.iter().map(|kid| Kid::from(*kid)).collect() })
}

fn key(id: &str, state: KeyState) -> KeyRecord {
    let mut record = KeyRecord::prepared(Kid::from(id), KeyUse::Sign(Algorithm::Es256), None, NOW);
    record.state = state;
    record
}

fn census(verifiers_max: usize) -> Census {
    Census::new(Settings { verifiers_max, forget_after: Duration::from_secs(100), wait_max: Duration::from_secs(50) })
}

fn stranger(agent: &str) -> Who<'_> {
    Who::Stranger { agent: agent.as_bytes(), address: HOME }
}

#[test]
fn a_label_is_a_short_plain_word_and_nothing_else() {
    let long = format!("v={}", "a".repeat(NAME_BYTES_MAX));
    let rows = [
        ("v=orders", Some("orders")),
        ("since=4&v=orders-1.eu:2_b", Some("orders-1.eu:2_b")),
        (long.as_str(), long.strip_prefix("v=")),
        ("v=", None),
        ("v", None),
        ("vv=a", None),
        ("v=a%20b", None),
        ("v=a/b", None),
        ("v=\u{e9}", None),
        ("v=a&v=b", Some("a")),
        ("", None),
    ];
    for (query, label) in rows {
        let expected = label.map_or(stranger("curl/8"), Who::Label);
        assert_eq!(Who::of(Some(query), Some(b" curl/8 "), HOME), expected, "{query}");
    }
    let too_long = format!("v={}", "a".repeat(NAME_BYTES_MAX + 1));
    assert_eq!(Who::of(Some(&too_long), None, HOME), stranger(""));
    let agent = "b".repeat(1_000);
    assert_eq!(Who::of(None, Some(agent.as_bytes()), HOME), stranger(&agent[..NAME_BYTES_MAX]));
}

#[test]
fn a_verifier_stands_where_its_last_fetch_left_it() {
    let census = census(10);
    let (old, new) = (edition("\"1\"", &["a"]), edition("\"2\"", &["a", "b"]));
    let moved = edition("\"0\"", &["b", "a"]);
    let records = [key("a", KeyState::Active), key("b", KeyState::Prepared), key("t", KeyState::Tainted)];
    let rows: [(&str, &[Fetched<'_>], Standing); 6] = [
        ("current", &[Fetched::KeySet(&old), Fetched::KeySet(&new)], Standing::Current),
        ("another order of the same keys", &[Fetched::KeySet(&moved)], Standing::Older),
        ("behind", &[Fetched::KeySet(&old)], Standing::Behind),
        ("behind, though it asks for headers", &[Fetched::KeySet(&old), Fetched::Header], Standing::Behind),
        ("behind, though alive", &[Fetched::KeySet(&old), Fetched::Feed], Standing::Behind),
        ("the feed alone", &[Fetched::Feed], Standing::Unknown),
    ];
    for (number, (name, fetches, standing)) in rows.iter().enumerate() {
        let label = format!("v{number}");
        for fetched in *fetches {
            census.note(&Who::Label(&label), *fetched, NOW);
        }
        let survey = census.survey(&records, "\"2\"", NOW);
        let shown = survey.verifiers.iter().find(|one| one.name == label).expect(name);
        assert_eq!(shown.key_set, *standing, "{name}");
        assert_eq!(shown.lacks.len(), usize::from(*standing == Standing::Behind), "{name}");
    }
    let survey = census.survey(&records, "\"2\"", NOW);
    assert_eq!(survey.behind(), 3);
    let counts: Vec<_> = survey.keys.iter().map(|key| (key.kid.as_str(), key.seen_by, key.of)).collect();
    assert_eq!(counts, [("a", 5, 5), ("b", 2, 5)], "of those whose key set is known");
    assert_eq!(survey.lacking(Some(&Kid::from("b"))).0, ["v2", "v3", "v4"]);
    assert_eq!(survey.lacking(None).0.len(), 5, "nobody has a key that is yet to be made");
    census.note(&Who::Label("late"), Fetched::KeySet(&edition("\"9\"", &["t"])), NOW);
    let survey = census.survey(&records, "\"2\"", NOW);
    assert_eq!(survey.verifiers[0].still_trusts, [Kid::from("t")]);
}

#[test]
fn a_stranger_counts_from_its_second_fetch_on() {
    let census = census(10);
    let old = edition("\"1\"", &["a"]);
    let records = [key("a", KeyState::Active), key("b", KeyState::Prepared)];
    census.note(&stranger("curl\u{1b}[31m"), Fetched::KeySet(&old), NOW);
    assert_eq!(census.lag(&records, NOW).behind, [], "a person, for all we know");
    assert_eq!(census.survey(&records, "\"2\"", NOW).behind(), 0);
    census.note(&stranger("curl\u{1b}[31m"), Fetched::KeySet(&old), NOW);
    census.note(&stranger(""), Fetched::KeySet(&old), NOW);
    census.note(&stranger(""), Fetched::KeySet(&old), NOW);
    let lag = census.lag(&records, NOW);
    assert_eq!(lag.behind[0].strangers, ["(no user agent) at 127.0.0.1", "curl?[31m at 127.0.0.1"]);
    assert!(lag.behind[0].labelled.is_empty());
    assert_eq!(lag.wait_max, Duration::from_secs(50));
}

#[test]
fn who_stays_away_is_forgotten() {
    let census = census(10);
    let old = edition("\"1\"", &["a"]);
    let records = [key("b", KeyState::Prepared)];
    census.note(&Who::Label("a"), Fetched::KeySet(&old), NOW);
    let behind = |seconds: u64| census.lag(&records, NOW.after(Duration::from_secs(seconds))).behind.len();
    assert_eq!(behind(99), 1);
    census.note(&Who::Label("a"), Fetched::Feed, NOW.after(Duration::from_secs(99)));
    assert_eq!(behind(198), 1, "the feed keeps it known");
    assert_eq!(behind(199), 0);
    census.note(&Who::Label("a"), Fetched::KeySet(&old), NOW.after(Duration::from_secs(500)));
    census.note(&Who::Label("a"), Fetched::KeySet(&old), NOW);
    assert_eq!(behind(599), 1, "a clock that goes back makes nobody older");
}

#[test]
fn a_hundred_thousand_labels_keep_no_more_than_the_bound() {
    let census = census(1_000);
    let old = edition("\"1\"", &["a"]);
    let records = [key("b", KeyState::Prepared)];
    for number in 0..100_000 {
        let agent = format!("scanner/{number}");
        census.note(&stranger(&agent), Fetched::KeySet(&old), NOW);
        if number == 5 {
            census.note(&Who::Label("orders"), Fetched::KeySet(&old), NOW);
        }
    }
    let survey = census.survey(&records, "\"1\"", NOW);
    assert_eq!((survey.verifiers.len(), survey.dropped), (1_000, 99_001));
    assert_eq!(survey.verifiers[0].name, "orders", "strangers fall out before labels");
    for number in 0..100_000_u64 {
        let label = format!("l{number}");
        census.note(&Who::Label(&label), Fetched::KeySet(&old), NOW.after(Duration::from_secs(number / 10_000)));
        census.note(&Who::Label("orders"), Fetched::KeySet(&old), NOW.after(Duration::from_secs(number / 10_000)));
    }
    let later = NOW.after(Duration::from_secs(9));
    let survey = census.survey(&records, "\"1\"", later);
    assert_eq!(survey.verifiers.len(), 1_000);
    assert_eq!(census.lag(&records, later).behind[0].labelled.len(), 1_000);
    let settings = Settings { verifiers_max: 10, ..Settings::default() };
    census.configure(settings);
    assert_eq!(census.survey(&records, "\"1\"", later).verifiers.len(), 10, "a lower bound holds at once");
}

//! Each part gets what the configuration says.

use mintgate::app::settings;
use mintgate::config::{Inputs, load};

use crate::support::scratch::Scratch;

#[test]
fn every_value_arrives_where_it_is_used() {
    let scratch = Scratch::new();
    let text = r#"
issuer = "https://auth.example"
[tokens]
algorithm = "EdDSA"
access_lifetime = "2m"
typ = "JWT"
[refresh]
idle_lifetime = "1h"
absolute_lifetime = "2h"
retry_window = "7s"
[keys]
rotate_every = "3d"
publish_ahead = "2h"
behind_wait_max = "3h"
verifiers_max = 77
[state]
entries_max = 1234
[limits]
header_timeout = "3s"
[compatibility]
password_grant = true
[status_list]
audiences = ["https://api.example", "files"]
ttl = "9s"
entries_max = 2000
"#;
    let path = scratch.write("mintgate.toml", text);
    let config = load(&path, &Inputs::default()).expect("valid").config;
    let issuer = settings::issuer(&config);
    assert_eq!(issuer.algorithm.name(), "EdDSA");
    assert_eq!(issuer.typ.name(), "JWT");
    assert_eq!(issuer.grant.lifetimes.access.as_secs(), 120);
    assert_eq!(issuer.grant.lifetimes.idle.as_secs(), 3_600);
    assert_eq!(issuer.grant.retry.window.as_secs(), 7);
    assert!(issuer.password_grant);
    let lists = &issuer.status_list;
    assert_eq!(lists.audiences.iter().map(|one| one.as_str()).collect::<Vec<_>>(), ["https://api.example", "files"]);
    assert_eq!((lists.ttl.as_secs(), lists.entries_max), (9, 2_000));
    assert!(settings::memory_in_words(&config).contains("status lists at most"), "the worst case counts them");
    let keys = settings::keys(&config);
    assert_eq!(keys.rotate_every.as_secs(), 3 * 86_400);
    assert_eq!(keys.publish_ahead.as_secs(), 7_200);
    assert_eq!(keys.census.wait_max.as_secs(), 3 * 3_600);
    assert_eq!((keys.census.verifiers_max, keys.census.forget_after.as_secs()), (77, 86_400));
    assert_eq!(keys.family_lifetime_max.as_secs(), 7_200, "sealing keys live as long as a family");
    assert!(keys.token_lifetime_max >= issuer.limits.lifetime_max, "a key outlives the tokens it signed");
    assert_eq!(settings::http(&config).header_timeout.as_secs(), 3);
}

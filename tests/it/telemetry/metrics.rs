//! The metrics: names are an interface, so they are written down here.

use std::time::Duration;

use mintgate::protocol::time::UnixSeconds;
use mintgate::telemetry::metrics::Metrics;

#[test]
fn names_and_labels_are_stable() {
    let metrics = Metrics::new(UnixSeconds(1_700_000_000));
    let token = metrics.route("/token");
    token.observe(200, Duration::from_micros(60));
    token.observe(200, Duration::from_micros(60));
    token.observe(401, Duration::from_millis(3));
    metrics.tokens_issued.handle("client_credentials").inc_by(2);
    metrics.refusals.inc("wrong_secret");
    metrics.refreshes.inc("retry");
    metrics.logins.inc("ok");
    metrics.jwks_requests.inc("304");
    metrics.reloads.inc("ok");
    metrics.hash_queue_depth.set(3);
    metrics.hash_rejected.inc();
    metrics.log_lines_dropped.set(0);
    metrics.state_entries.set("family", 7);
    metrics.state_bytes.set("family", u64::MAX);
    metrics.keys.set("active", 1);
    metrics.keys_waiting.set(1);
    metrics.verifiers_known.set(4);
    metrics.verifiers_behind.set(1);
    metrics.verifiers_dropped.set(0);
    let public = metrics.traffic("public");
    public.connections.inc();
    public.in_flight.inc();
    public.connections_refused.inc();
    public.connections_timed_out.inc();
    public.handshakes_failed.inc();
    public.requests_refused.inc();
    let text = metrics.encode();
    for line in [
        "process_start_time_seconds 1700000000",
        "mintgate_build_info{version=\"0.1.0\"} 1",
        "mintgate_requests_total{route=\"/token\",status=\"200\"} 2",
        "mintgate_requests_total{route=\"/token\",status=\"401\"} 1",
        "mintgate_request_duration_seconds_bucket{le=\"0.0001\",route=\"/token\"} 2",
        "mintgate_request_duration_seconds_count{route=\"/token\"} 3",
        "mintgate_tokens_issued_total{grant=\"client_credentials\"} 2",
        "mintgate_refusals_total{reason=\"wrong_secret\"} 1",
        "mintgate_refreshes_total{verdict=\"retry\"} 1",
        "mintgate_logins_total{result=\"ok\"} 1",
        "mintgate_jwks_requests_total{status=\"304\"} 1",
        "mintgate_reloads_total{result=\"ok\"} 1",
        "mintgate_hash_queue_depth 3",
        "mintgate_hash_rejected_total 1",
        "mintgate_log_lines_dropped 0",
        "mintgate_state_entries{kind=\"family\"} 7",
        "mintgate_state_bytes{kind=\"family\"} 9223372036854775807",
        "mintgate_keys{state=\"active\"} 1",
        "mintgate_keys_waiting 1",
        "mintgate_verifiers_known 4",
        "mintgate_verifiers_behind 1",
        "mintgate_verifiers_dropped 0",
        "mintgate_connections{listener=\"public\"} 1",
        "mintgate_requests_in_flight{listener=\"public\"} 1",
        "mintgate_connections_refused_total{listener=\"public\"} 1",
        "mintgate_connections_timed_out_total{listener=\"public\"} 1",
        "mintgate_tls_handshakes_failed_total{listener=\"public\"} 1",
        "mintgate_requests_refused_total{listener=\"public\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in\n{text}");
    }
}

#[test]
fn a_route_is_there_at_zero_before_its_first_request() {
    let metrics = Metrics::new(UnixSeconds(1));
    let _ = metrics.route("/token");
    let _ = metrics.tokens_issued.handle("refresh_token");
    let text = metrics.encode();
    assert!(text.contains("mintgate_requests_total{route=\"/token\",status=\"200\"} 0"), "{text}");
    assert!(text.contains("mintgate_tokens_issued_total{grant=\"refresh_token\"} 0"), "{text}");
}

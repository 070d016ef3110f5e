//! Known attacks, and the test that shows each one fails here.
//!
//! The numbers are those of the project's list of bug classes; a row that is not here concerns a part that mintgate does
//! not have yet. `tests/it/tidy.rs` checks that every test named here exists.
//!
//! | row | bug class | test in `tests/it` |
//! | --- | --- | --- |
//! | 1 | RS/HS confusion | `token::attacks::every_attack_is_refused_and_the_genuine_token_is_not` |
//! | 2 | `none`, empty signature | `token::attacks::every_attack_is_refused_and_the_genuine_token_is_not` |
//! | 3 | psychic signature | `token::vectors::wycheproof_json_web_signature` |
//! | 4 | encrypted taken for signed | `token::vectors::wycheproof_json_web_encryption_is_refused_as_a_whole` |
//! | 5 | compact against JSON form | `spec::verification::rfc_7515_2_padding_white_space_and_other_spellings_are_refused` |
//! | 6 | key chosen by the header | `spec::verification::rfc_8725_3_10_the_token_does_not_choose_its_key` |
//! | 7 | `kid` as path or SQL | `spec::verification::rfc_7515_4_1_4_kid_selects_exactly_one_key` |
//! | 8 | `crit` ignored | `spec::verification::rfc_7515_4_1_11_crit_is_refused` |
//! | 9 | claim type confusion | `token::verify::a_genuine_signature_over_any_json_never_panics` |
//! | 10 | duplicate keys, deep nesting | `spec::verification::rfc_8725_2_4_json_depth_is_capped` |
//! | 11 | many dots | `token::attacks::the_length_is_bounded_before_anything` |
//! | 13 | deflate bomb | `spec::verification::rfc_8725_3_6_compression_is_refused` |
//! | 14 | audience not checked | `spec::verification::rfc_7519_4_1_3_aud_names_who_asks` |
//! | 16 | refresh race | `store::memory::sixty_four_at_once_get_one_successor` |
//! | 17 | restart forgets rotation | `end_to_end::crash::rotate_kill_start_and_the_old_token_is_refused` |
//! | 18 | same-second order | `state::family::a_thousand_rotations_are_one_entry_and_ordered_within_one_second` |
//! | 19 | revoke races refresh | `store::memory::revoking_a_subject_races_refreshes` |
//! | 20 | revoked access token valid after a restart | `end_to_end::crash::kill_dash_nine_under_load_loses_nothing_acknowledged` |
//! | 21 | revoke error swallowed | `issuer::commit::a_store_that_fails_answers_503_and_burns_no_token` |
//! | 23 | single-use store without namespaces | `state::merge::ids_of_different_spaces_are_different_ids` |
//! | 24 | refresh token not bound to its client | `spec::refresh_rotation::rfc6749_10_4_another_client_can_neither_use_nor_hurt_it` |
//! | 26 | lifetime edge | `policy::no_child_outlives_its_family` |
//! | 27 | truncated or padded opaque token | `token::seal::every_prefix_suffix_and_bit_is_refused` |
//! | 34 | host and forwarded trust | `spec::metadata::rfc8414_2_and_3_the_document_names_what_is_on` |
//! | 35 | token response cached | `spec::token_endpoint::rfc6749_5_1_and_5_2_no_store_on_success_and_error` |
//! | 36 | user enumeration | `spec::login::unknown_wrong_and_disabled_look_alike` |
//! | 38 | lockout dodge by alias | `user::slowdown::each_row_is_one_thing_that_passes` |
//! | 39 | disabled account, another grant | `issuer::token::a_user_who_is_gone_disabled_or_has_another_password_is_out_at_the_next_refresh` |
//! | 40 | lockout as denial of service | `issuer::login::wrong_passwords_slow_this_source_down_and_time_lets_it_in_again` |
//! | 41 | secrets in logs | `end_to_end::operation::canary_secrets_reach_no_log_metric_or_error` |
//! | 42 | log forging | `telemetry::log::no_value_can_forge_a_line_or_reach_the_terminal` |
//! | 45 | parameter blow-up | `spec::token_endpoint::rfc6749_3_2_bodies_and_parameters_are_bounded` |
//! | 46 | revoke without authority | `spec::revocation::rfc7009_2_1_another_clients_token_is_refused_and_not_revoked` |
//! | 47 | HTTP/2 resets and floods | `http::h2::attacks_by_frames_end_the_attacker_only` |
//! | 48 | HTTP/1 smuggling | `http::server::nothing_can_be_smuggled_behind_a_chunked_body` |
//! | 49 | slow header, slow body, idle TLS | `end_to_end::operation::a_dribbled_header_is_cut_off_and_others_do_not_notice` |
//! | 50 | rotation race: unknown kid | `end_to_end::rotation::twenty_rotations_and_no_unknown_kid_for_a_verifier_that_honours_max_age` |
//! | 52 | clock set back | `end_to_end::clock::killed_and_started_with_the_clock_set_back_an_hour` |
//! | 53 | over-long password | `user::hash::an_over_long_password_is_never_hashed` |
//!
//! # What holds, whatever happens
//!
//! | | invariant | test in `tests/it` |
//! | --- | --- | --- |
//! | I1 | at most one generation of a family is live | `state::model::every_schedule_keeps_the_invariants` |
//! | I2 | nothing is minted after an acknowledged revocation | `end_to_end::crash::sixty_four_clients_of_a_subject_get_nothing_after_its_revocation` |
//! | I3 | what was acknowledged survives a crash | `end_to_end::crash::kill_dash_nine_under_load_loses_nothing_acknowledged` |
//! | I4 | no access token outlives its family | `policy::no_child_outlives_its_family` |
//! | I5 | an honest client keeps its session | `grant::interleavings::an_honest_client_never_loses_its_session` |
//! | I6 | thief and victim do not both live on beyond the budget | `state::model::a_thief_inside_every_window_is_ended_by_the_day_budget` |
//! | I7 | no retired or tainted key verifies anything | `spec::keys_and_jwks::a_tainted_key_leaves_at_once_and_its_tokens_are_refused` |
//! | I8 | a clock that goes back revives nothing | `issuer::clock::what_had_expired_stays_so_at_verify_and_introspect` |
//!
//! The first test searches every schedule of client, thief, revocation, crash, slow disk and clock up to a bound, for all
//! of them but I4 and I7, and says how many worlds it saw. What bounds the thief who is always inside the retry window is
//! told in [`flow`](crate::manual::flow).
//!
//! # Faults, and what a user sees of them
//!
//! | fault | outcome | test in `tests/it` |
//! | --- | --- | --- |
//! | power cut at any write | nothing acknowledged is lost; the log opens | `store::embedded::log::a_power_cut_at_every_operation_loses_nothing_acknowledged` |
//! | a write or sync fails | 503, readiness red, never tried again; a start heals | `store::embedded::log::a_disk_that_fails_at_any_operation_gets_no_false_acknowledgement` |
//! | damaged bytes | refused loudly, or harmless | `store::embedded::log::a_flipped_bit_is_found_or_harmless` |
//! | changes twice, in any order, from several threads | the same state | `store::merge::three_threads_a_log_and_two_starts_give_what_one_list_gives` |
//! | disk full | refresh and revocation 503, all else 200; a start heals | `end_to_end::disk::a_full_disk_stops_refreshes_and_nothing_else` |
//! | disk turns read-only | the same | `end_to_end::disk::a_disk_that_turns_read_only_stops_refreshes_and_nothing_else` |
//! | no files left for connections | open ones are served; it heals by itself | `end_to_end::open_files::out_of_files_the_open_connections_are_served_and_nothing_is_lost` |
//! | clock behind | nothing is issued, verifying goes on; it heals by itself | `issuer::clock::no_grant_issues_anything_while_the_clock_is_behind_and_all_do_when_it_has_caught_up` |
//!
//! More of the same, for a long evening:
//!
//! ```text
//! MINTGATE_KILLS=500 cargo test --test it -- --nocapture kill_dash_nine   # 500 kills under load; five minutes
//! cargo bench --bench state                                               # sizes, acknowledgements a second, starts
//! ```

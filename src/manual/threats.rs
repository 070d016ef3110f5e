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

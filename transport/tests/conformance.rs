//! One suite for every transport: what a session and its channels promise, whatever carries them.
//!
//! A test is a generic function over a [`Fixture`](conformance::Fixture); the lists below run each against each
//! transport. A new transport needs a fixture and one more line.

#![expect(clippy::unwrap_used, reason = "in a test, what fails should panic where it fails")]

mod conformance {
    pub(crate) mod channels;
    mod fixture;
    pub(crate) mod handshakes;
    mod memory;
    mod quic;
    pub(crate) mod sessions;

    pub(crate) use self::{
        fixture::{Endpoint, Fixture, Pair, mesh, read_all, talk, within},
        memory::MemoryFixture,
        quic::QuicFixture,
    };
}

/// Runs every test of the suite against a fixture.
macro_rules! suite {
    ($transport:ident, $fixture:ty, $($test_args:tt)*) => {
        mod $transport {
            use super::conformance::{self, within};

            suite!(@each $fixture, ($($test_args)*), channels: {
                either_side_opens_and_the_other_accepts,
                a_half_close_ends_one_direction_only,
                a_large_transfer_arrives_whole,
                what_was_delivered_outlives_the_session,
                a_reset_reaches_the_reader_with_its_code,
                a_reset_after_the_end_takes_nothing_back,
                a_stop_reaches_the_writer_with_its_code,
                a_reader_that_stopped_reads_no_more,
                a_writer_that_ended_writes_no_more,
                a_writer_dropped_unfinished_never_looks_complete,
                a_reader_dropped_early_stops_the_writer,
                a_stalled_reader_stops_its_writer_and_nobody_else,
                a_thousand_channels_at_once_keep_their_bytes_apart,
                a_channel_beyond_the_limit_waits_until_others_are_over,
                a_cancelled_accept_loses_no_channel,
            });
            suite!(@each $fixture, ($($test_args)*), sessions: {
                both_sides_know_whom_they_talk_to,
                a_close_tells_the_peer_its_code_and_reason,
                the_reason_of_an_end_never_changes,
                dropping_the_last_handle_closes,
                what_waits_fails_when_the_session_ends,
                a_crashed_peer_falls_silent,
                a_restarted_node_disowns_its_old_sessions,
                an_idle_session_lives_on,
                two_nodes_dial_each_other,
                a_closed_listener_accepts_nobody_and_sessions_live_on,
            });
            suite!(@each $fixture, ($($test_args)*), handshakes: {
                another_node_than_expected_is_refused,
                the_expected_node_is_not_refused,
                a_dialer_refuses_another_authority,
                an_acceptor_refuses_another_authority,
                another_mesh_is_refused,
                an_expired_acceptor_is_refused,
                an_expired_dialer_is_refused,
                an_acceptor_whose_time_has_not_come_is_refused,
                a_dialer_whose_time_has_not_come_is_refused,
                a_client_is_not_dialled,
                a_client_may_dial,
                nobody_answers_where_nobody_is,
                another_scheme_is_refused,
                a_peer_turned_away_learns_it,
                a_handshake_that_never_finishes_ends_and_holds_up_no_other,
            });
        }
    };
    (@each $fixture:ty, $args:tt, $module:ident: { $($test:ident,)* }) => { $( suite!(@one $fixture, $args, $module, $test); )* };
    (@one $fixture:ty, ($($args:tt)*), $module:ident, $test:ident) => {
        #[tokio::test($($args)*)]
        async fn $test() {
            within(conformance::$module::$test(&<$fixture>::default())).await;
        }
    };
}

suite!(quic, conformance::QuicFixture,);
suite!(memory, conformance::MemoryFixture, start_paused = true);

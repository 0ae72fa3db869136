//! A mesh of many nodes in one thread and in virtual time: they join, leave, die, come back, and lie.
//!
//! What any membership protocol promises is a function over the protocol; the list below runs each over each of them.

#![expect(clippy::unwrap_used, reason = "a helper's failure is the test's")]
#![expect(clippy::print_stdout, reason = "figures for whoever compares the protocols")]

mod attacks;
mod costs;
mod forge;
mod lifecycle;
mod network;
mod partition;

/// Runs every test of the suite over a protocol.
macro_rules! suite {
    ($name:ident, $protocol:expr) => {
        mod $name {
            use super::{lifecycle, partition};

            suite!(@each $protocol, lifecycle: {
                fifty_nodes_join_through_one_and_a_killed_one_is_gone_everywhere_within_two_seconds,
                two_that_meet_know_each_other_at_once,
                silence_after_a_dead_session_is_death,
                a_node_whose_sessions_died_lives_as_long_as_others_hear_it,
                a_change_reaches_all_peers_at_once,
                only_ready_nodes_are_endpoints,
                who_leaves_is_gone_within_an_interval_and_can_announce_nothing_more,
                who_leaves_waits_for_those_who_do_not_know_and_for_two_intervals_at_most,
                the_last_to_leave_waits_for_nobody,
                a_watch_tells_joins_updates_and_deaths_and_survives_being_cancelled,
                a_restarted_node_replaces_its_former_self_without_a_gap,
                a_node_whose_clock_went_back_replaces_its_former_self,
                a_restart_of_gossip_keeps_the_directory_and_nobody_notices,
                a_record_that_is_too_large_is_refused_with_the_limit_and_the_old_one_stays,
                forty_services_fit_into_a_record,
                a_full_mesh_refuses_one_more_and_counts_it,
                records_that_fill_many_messages_reach_a_newcomer,
                one_in_twenty_messages_lost_kills_nobody_and_hides_no_death,
                slow_messages_kill_nobody_and_hide_no_death,
            });
            suite!(@each $protocol, partition: {
                a_short_cut_heals,
                a_cut_through_fifty_nodes_heals,
                halves_that_have_forgotten_each_other_find_together_again,
                halves_that_are_about_to_forget_each_other_find_together_again,
                a_node_that_was_silent_for_ten_minutes_comes_back_as_the_same,
            });
        }
    };
    (@each $protocol:expr, $module:ident: { $($test:ident,)* }) => { $(
        #[tokio::test(start_paused = true)]
        async fn $test() {
            $module::$test($protocol).await;
        }
    )* };
}

suite!(chitchat, qmesh_discovery::Protocol::Chitchat);
suite!(pulse, qmesh_discovery::Protocol::Pulse);

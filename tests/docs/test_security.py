"""Each line of the threat model, SECURITY.md, is proved by tests."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# By the first column of its table: files in this folder's parent, and tests in them.
PROOFS = {
    "the elector, or whoever answers at its URL": {
        "election/test_elector_client.py": [
            "test_an_endless_response_is_cut_at_the_limit",
            "test_a_response_that_dribbles_is_given_up",
            "test_every_responses_head_is_bounded",
            "test_a_stream_whose_head_dribbles_is_given_up",
            "test_the_streams_redirect_is_not_read_and_its_cookie_not_kept",
        ],
        "election/test_stream.py": [
            "test_endless_input_is_cut_off",
            "test_many_comments_use_no_memory",
        ],
        "election/test_announcement.py": [
            "test_any_data_is_a_printable_name_or_no_leader_or_malformed",
        ],
        "election/test_watched.py": [
            "test_a_flood_of_announcements_fills_nothing_and_hides_no_loss",
        ],
        "logs/test_logs.py": [
            "test_no_foreign_text_can_control_the_terminal",
        ],
        "e2e/test_faults.py": [
            "test_term_ends_it_whatever_the_elector_does",
        ],
        "nemesis/test_hostile.py": [
            "test_a_hostile_answer_is_trouble_and_neither_a_bug_nor_leadership",
        ],
    },
    "who can write to the lock file's directory": {
        "e2e/test_lock_file.py": [
            "test_a_link_is_refused_and_its_target_is_kept",
            "test_a_file_that_is_not_ours_is_refused_and_kept",
            "test_removing_a_held_lock_file_is_a_loss",
            "test_only_the_owner_can_open_the_file",
            "test_a_file_that_is_open_to_others_is_warned_of",
        ],
        "election/test_watched.py": [
            "test_no_content_of_a_lock_file_ends_the_waiting",
        ],
    },
    "the API server, PostgreSQL, etcd, Redis": {
        "election/lease/test_cluster.py": [
            "test_tls_is_verified_with_the_given_authority",
            "test_no_request_outlasts_its_deadline",
        ],
        "election/postgres/test_bounded.py": [
            "test_an_answer_that_trickles_in_is_given_up",
            "test_an_answer_without_an_end_is_given_up",
            "test_news_without_an_end_are_given_up",
        ],
        "election/postgres/test_lock.py": [
            "test_a_certificate_is_verified_if_sslmode_requires_it",
        ],
        "election/etcd/test_etcd_source.py": [
            "test_tls_works_with_certificates_on_both_sides",
        ],
        "election/redis/test_redis_bounded.py": [
            "test_an_answer_that_trickles_in_is_given_up",
            "test_an_answer_without_an_end_is_given_up",
            "test_news_without_an_end_are_given_up",
        ],
        "election/redis/test_redis_source.py": [
            "test_tls_is_verified",
        ],
        "e2e/test_faults.py": [
            "test_requests_to_the_elector_ignore_proxies_and_netrc",
        ],
        "nemesis/test_hostile.py": [
            "test_a_hostile_answer_is_trouble_and_neither_a_bug_nor_leadership",
        ],
    },
    "who can reach `--http`": {
        "http/test_server.py": [
            "test_no_request_can_change_anything",
            "test_a_thousand_idle_connections_make_room_for_the_next_request",
        ],
        "e2e/test_http.py": [
            "test_only_known_names_are_answered",
            "test_the_command_line_is_shown_if_the_option_asks_for_it",
            "test_a_flood_of_requests_does_not_delay_the_stop",
        ],
        "e2e/test_peers.py": [
            "test_in_a_browser_only_the_page_of_this_server_may_follow_the_stream",
        ],
    },
    "another replica, or whoever answers at its address in `--peers`": {
        "peers/test_asking.py": [
            "test_a_hostile_or_broken_answer_is_reported_and_bounded",
            "test_a_missing_answer_is_not_waited_for",
        ],
        "peers/test_replica.py": [
            "test_another_server_is_not_mistaken_for_leaderexec",
        ],
        "console/test_peers_table.py": [
            "test_a_servers_answer_cannot_control_the_terminal",
        ],
        "page/test_page.py": [
            "test_hostile_names_are_shown_as_text",
            "test_no_text_can_become_markup_even_by_a_bug_of_ours",
        ],
    },
    "another user on the machine": {
        "e2e/test_step_down.py": [
            "test_a_directory_that_belongs_to_others_is_not_used",
            "test_another_user_is_not_answered",
        ],
    },
    "the command": {
        "process/test_pid_1.py": [
            "test_escapees_get_the_stop_signal_and_are_gone",
            "test_an_escapee_that_ignores_term_is_killed_after_the_grace",
        ],
        "process/test_refused.py": [
            "test_processes_that_cannot_be_killed_are_named_and_given_up",
        ],
        "e2e/test_step_down.py": [
            "test_no_request_does_harm",
        ],
        "health/test_notify.py": [
            "test_garbage_huge_messages_and_descriptors_leave_nothing_behind",
            "test_a_flood_of_messages_is_read_at_a_limited_rate",
        ],
    },
    "who reads logs, `--check`, `/status`, metrics or core dumps": {
        "election/lease/test_cluster.py": [
            "test_the_token_is_shown_nowhere_and_is_not_in_the_commands_environment",
        ],
        "election/etcd/test_etcd_source.py": [
            "test_a_user_with_a_password_leads_and_an_expired_token_is_renewed",
        ],
        "election/postgres/test_kind.py": [
            "test_no_password_is_ever_shown",
        ],
        "election/postgres/test_lock.py": [
            "test_a_wrong_password_has_its_own_message_and_is_shown_nowhere",
        ],
        "election/redis/test_redis_source.py": [
            "test_a_user_with_a_password_leads_and_the_password_is_shown_nowhere",
        ],
        "cli/test_choosing.py": [
            "test_a_refused_url_is_shown_without_its_password",
        ],
        "e2e/test_http.py": [
            "test_the_command_line_is_shown_if_the_option_asks_for_it",
        ],
        "process/test_core_dumps.py": [
            "test_no_core_dump_is_made_of_leaderexec",
        ],
    },
}
NO_PRIVILEGES = {
    "container/test_confined.py": [
        "test_the_environment_is_as_hardened_as_it_should_be",
        "test_the_elector_is_followed",
    ],
    "examples/test_kubernetes.py": [
        "test_every_container_is_locked_down",
    ],
    "process/test_urgency.py": [
        "test_it_is_real_time_while_a_command_runs_and_never_on_standby",
    ],
}


def test_every_line_of_the_threat_model_has_its_tests() -> None:
    rows = re.findall(r"^\| (.+?) \|.*\|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert rows[0] == "from"
    assert rows[1:] == list(PROOFS)


@pytest.mark.parametrize(
    ("path", "names"),
    [proof for proofs in (*PROOFS.values(), NO_PRIVILEGES) for proof in proofs.items()],
)
def test_each_of_them_exists(path: str, names: list[str]) -> None:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    assert set(names) <= {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}

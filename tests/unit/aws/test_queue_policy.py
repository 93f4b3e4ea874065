"""Tests for bot.aws.queue.lets_somebody_send: what a queue's policy allows."""

import pytest

from bot.aws.queue import lets_somebody_send


@pytest.mark.parametrize(
    "policy",
    [
        "",
        " ",
        '{"Statement": []}',
        '{"Statement": [{"Effect": "Deny", "Action": "sqs:SendMessage"}]}',
        '{"Statement": [{"Effect": "Allow", "Action": "sqs:ReceiveMessage"}, 7]}',
        '{"Statement": [{"Effect": "Allow", "Action": ["sqs:Receive*", "sqs:SendMessageBatch"]}]}',
        '{"Statement": [{"Effect": "Allow"}]}',
    ],
)
def test_queue_policy_without_a_permission_to_send_does_not_allow_sending(policy: str) -> None:
    """EventBridge could not send events to such a queue, and its failures have no log."""
    assert not lets_somebody_send(policy)


@pytest.mark.parametrize(
    "statement",
    [
        '{"Effect": "Allow", "Action": ["SQS:SendMessage"]}',
        '[{"Effect": "Allow", "Action": "*"}]',
        '[{"Effect": "Allow", "Action": "sqs:*"}]',
        '[{"Effect": "Allow", "Action": "sqs:Send*"}]',
        '[{"Effect": "Allow", "Action": "sqs:Send?essage"}]',
        '[{"Effect": "Allow", "NotAction": "sqs:DeleteQueue"}]',
    ],
)
def test_queue_policy_with_an_action_that_includes_sending_allows_it(statement: str) -> None:
    """Wildcards, letter case and NotAction count as in IAM."""
    assert lets_somebody_send(f'{{"Statement": {statement}}}')


@pytest.mark.parametrize("policy", ["junk", "[]", "{}", "[" * 100_000])
def test_unreadable_queue_policy_counts_as_one_that_allows_sending(policy: str) -> None:
    """The bot must not report a problem that may not exist."""
    assert lets_somebody_send(policy)

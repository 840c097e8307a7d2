"""The topic of outcomes, for tests of the commands that write it."""

from tests.support.in_process import run_in_process
from tests.support.topics import Topics, wait_for_topics

#: Time of an outcome.
TIME = "2026-11-02T00:00:00Z"


def outcomes_env(bootstrap: str, topics: Topics) -> dict[str, str]:
    """Create the topic of outcomes, and return the environment of the commands that use it."""
    env = topics.env(bootstrap)
    done = run_in_process("topics", "init", "--outcomes", env=env)
    assert done.code == 0, done.err
    wait_for_topics(bootstrap, {topics.outcomes: 3})
    return env

"""tenacity's waiting strategies, asked for their seconds outside its own loop."""

from __future__ import annotations

from tenacity import RetryCallState, Retrying


def after_tries(tries: int) -> RetryCallState:
    """What a waiting strategy asks for: a state after so many failures."""
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = tries
    return state

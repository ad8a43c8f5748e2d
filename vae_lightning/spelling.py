"""Hints for words that are not known."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return the nearest spelling, if one is near, and every valid word: "did you mean lr? valid: betas, lr"."""
    valid = sorted(valid)
    near = difflib.get_close_matches(word, valid, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}valid: {', '.join(valid) or 'none'}"

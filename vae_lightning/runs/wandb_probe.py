"""Whether Weights & Biases can be reached from here: an account, and a server that answers in time."""

import contextlib
import functools
import os
import threading

PROBE_TIMEOUT_S = 3.0


def why_offline() -> str | None:
    """Return why W&B cannot be reached, or None where there is an account and its server answers in time."""
    import wandb
    from requests.utils import get_netrc_auth  # knows where each system keeps its netrc; wandb depends on requests

    settings = wandb.Settings()
    settings.update_from_env_vars(dict(os.environ))
    if not settings.api_key and get_netrc_auth(settings.base_url) is None:
        return "no account here; wandb login makes one known"
    return None if answers(settings.base_url) else f"no answer from {settings.base_url} in {PROBE_TIMEOUT_S:g} s"


@functools.cache
def answers(url: str) -> bool:
    """Ask a server for anything, once a process. The whole question is timed, names and proxies included."""
    import requests  # which wandb needs too

    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError):
            requests.head(url, timeout=PROBE_TIMEOUT_S)
            answered.set()

    threading.Thread(target=ask, daemon=True).start()  # nobody waits for one that hangs
    return answered.wait(PROBE_TIMEOUT_S)

"""By which command a run was made, as a person would type it again."""

import os
import shlex
import sys
from pathlib import Path

COMMAND = "VAE_LIGHTNING_COMMAND"
"""Set for processes that a command starts on its own: theirs would say nothing to anybody."""


def this_command() -> str:
    """Return the command line of this process, or that of the one which started it for a run."""
    return os.environ.get(COMMAND) or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])

"""What every command shares: its version, its output, and how a failure is told to a person."""

import argparse
import io
import logging
import os
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lightning.conf_folder import config_folder
from vae_lightning.errors import Interrupted, UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

FULL_TRACE = "HYDRA_FULL_ERROR"
"""The environment variable by which Hydra's users ask for stack traces."""
TRACE_ASKED = "VAE_LIGHTNING_TRACE"
"""What the user said of it, for the processes of other ranks, which inherit our own setting of the first."""


def run_command(command: Callable[[], object]) -> None:
    """Run a command; tell errors that the user can mend in a few lines and exit with 1, unless a trace is asked for.

    These are a UserError, a Hydra error, or a full disk and the like; anything else is our bug and keeps its trace.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if sys.argv[1:] == ["--version"]:
        from vae_lightning import __version__

        print(f"{Path(sys.argv[0]).name} {__version__}")  # noqa: T201
        return
    trace_wanted = os.environ.setdefault(TRACE_ASKED, os.environ.get(FULL_TRACE, "0")) != "0"
    sys.stdout, sys.stderr = _robust(sys.stdout), _robust(sys.stderr)
    sys.path.append(str(Path.cwd()))  # what a config names may lie in the folder from which the command is called
    logging.getLogger("matplotlib.font_manager").setLevel(logging.WARNING)  # "generated new fontManager"
    os.environ[FULL_TRACE] = "1"  # Hydra hands exceptions to us instead of printing them its own way
    try:
        command()
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        if trace_wanted:
            raise
        if _is_first_rank() or not isinstance(error, UserError):  # all ranks raise it; one tells
            print(f"{explain(error)}\n\nFor a stack trace: {FULL_TRACE}=1", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except Interrupted as stopped:
        _tell(f"{stopped}")
        # Lightning kills the first rank when another one ends with an error.
        sys.exit(stopped.exit_code if _is_first_rank() else 0)
    except KeyboardInterrupt:
        _tell("interrupted; the same command (without rerun=true) continues from the last checkpoint, if there is one")
        sys.exit(130)


class _OpenEndedPipe(io.FileIO):
    """A pipe whose reader may leave: what is written after that is dropped, and the command goes on."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def parser_for(doc: str | None, examples: str = "") -> argparse.ArgumentParser:
    """Return the parser of a command, from its module's docstring: its name and arguments, a colon, what it does."""
    usage, what = (doc or "").split(": ", 1)
    parser = argparse.ArgumentParser(prog=usage.strip("`").split()[0], description=what)
    if examples:
        parser.epilog, parser.formatter_class = f"examples:{examples}", argparse.RawDescriptionHelpFormatter
    return parser


def _robust(stream: Any) -> Any:
    """Return a stream that takes every character and, if it is a pipe, survives ``| head``."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")  # neither a terminal nor the name of a file need be UTF-8
    try:
        number = stream.fileno()
    except OSError:  # no file of the system
        return stream
    if not stat.S_ISFIFO(os.fstat(number).st_mode):
        return stream
    stream.flush()
    pipe = io.BufferedWriter(_OpenEndedPipe(number, "w", closefd=False))
    robust = io.TextIOWrapper(pipe, encoding=stream.encoding, errors="backslashreplace")
    robust.reconfigure(line_buffering=stream.line_buffering, write_through=stream.write_through)
    return robust


def _tell(message: str) -> None:
    if _is_first_rank():
        print(message, file=sys.stderr)  # noqa: T201


def _is_first_rank() -> bool:
    """Say whether this is the first of the processes of a run, by what Lightning, torchrun or SLURM tell each."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))


def explain(error: BaseException) -> str:
    """Return what a person needs to know of an error; for a key unknown to Hydra, also which could be meant."""
    message = str(error).strip()
    if unknown := re.search(r"Could not override '([^']+)'", message):
        # Where a whole node was given, the key that is not known is one inside it.
        return _explain_unknown_key(getattr(error.__cause__, "full_key", None) or unknown[1])
    if override := getattr(error, "override", None):
        return f"{override}: cannot be read; {message}"
    return re.sub(r"\n\s+(full_key|object_type)\S*.*", "", message) or type(error).__name__


def _explain_unknown_key(key: str) -> str:
    from vae_lightning.spelling import did_you_mean

    *parents, last = key.split(".")
    node = _defaults()
    for parent in parents:
        if not hasattr(node, "keys") or parent not in node:
            last = parent
            break
        node = node[parent]
    valid = [str(name) for name in node if name != "hydra" or parents] if hasattr(node, "keys") else []
    return f"{key}: not a known key; {did_you_mean(last, valid)}"


def _defaults() -> "DictConfig":
    """Compose the config of this command line's group choices, without its values, to see which keys exist."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    choices = [word for word in sys.argv[1:] if re.fullmatch(r"[\w/]+=\w+", word)]
    choices = [word for word in choices if (config_folder() / word.split("=")[0]).is_dir()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides=choices, return_hydra_config=True)

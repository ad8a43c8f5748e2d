"""``python -m vae_lightning COMMAND ...``: the commands where their scripts are not on the path."""

import sys
from importlib import import_module
from importlib.util import find_spec

COMMANDS = ("train", "evaluate", "forecast", "report", "status", "verify-resume")


def main() -> None:
    """Run the command that the first argument names; without one, list them all."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        sys.argv = [f"vae-{name}", *sys.argv[2:]]
        # Lightning and multiprocessing start further processes by the name of the main module.
        sys.modules["__main__"].__spec__ = find_spec(_module(name))
        import_module(_module(name)).main()
    elif name == "--version":
        from vae_lightning import __version__

        print(f"vae-lightning {__version__}")  # noqa: T201
    else:
        lines = [f"  {command:<14} {_summary(command)}" for command in COMMANDS]
        text = "\n".join(["usage: python -m vae_lightning COMMAND ...", "", *lines, "", "COMMAND --help says more."])
        print(text, file=sys.stdout if name in {"", "-h", "--help"} else sys.stderr)
        sys.exit(0 if name in {"", "-h", "--help"} else 2)


def _module(command: str) -> str:
    return f"vae_lightning.cli.{command.replace('-', '_')}"


def _summary(command: str) -> str:
    """Return what the command's module says that it does."""
    text = import_module(_module(command)).__doc__ or ""
    return text.strip().split(": ", 1)[1].replace("`", "")


if __name__ == "__main__":
    main()

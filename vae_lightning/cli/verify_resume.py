"""``vae-verify-resume [key=value ...]``: prove on this machine that a config's runs can be killed at any moment."""

import signal

from vae_lightning.cli.run_command import parser_for, run_command
from vae_lightning.composing import composed
from vae_lightning.errors import Code, UserError

EXAMPLES = """
  vae-verify-resume trainer.max_epochs=2 save_every_n_steps=100
  vae-verify-resume --kills 20 beta_schedule=control_vae kl_weight=20 trainer=gpu
  vae-verify-resume --signal TERM trainer.strategy=ddp trainer.devices=2
"""


def main() -> None:
    run_command(verify)


def verify() -> None:
    """Train once undisturbed and once killed; print whether the two are the same, bit for bit."""
    compared = "Weights, optimiser, curves and results are compared with those of a run left alone."
    parser = parser_for(f"{__doc__}\n{compared}", EXAMPLES)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as for vae-train")
    parser.add_argument("--kills", type=int, default=3, metavar="N", help="how often it is killed (default 3)")
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL", help="which signal (default KILL)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random moments (default 0)")
    options = parser.parse_intermixed_args()
    if options.kills < 1:
        raise UserError(f"--kills {options.kills}: must be at least 1", Code.INVALID, ["--kills"])
    overrides = ["wandb.mode=disabled", *options.overrides]
    config = composed(overrides)
    if config["rerun"] or config["resume_from"]:
        message = "rerun, resume_from: would start from another place than the checkpoint under test"
        raise UserError(message, Code.INCOMPATIBLE, ["rerun", "resume_from"])

    from rich.console import Console

    from vae_lightning.verifying import verify_resume

    console, number = Console(markup=False, highlight=False), signal.Signals[f"SIG{options.signal}"]
    if found := verify_resume(config, overrides, options.kills, number, options.seed, console):
        raise UserError("NOT the same as the run that was left alone:\n" + "\n".join(found), Code.NOT_SAME)
    console.print("the same, bit for bit: weights, optimiser, schedules, curves, results")

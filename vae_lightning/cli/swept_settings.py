"""Settings of an option that is swept over: ``beta_schedule=linear,cosine beta_schedule.length=0.5``."""

from collections.abc import Sequence

MULTIRUN = ("-m", "--multirun")


def with_settings_swept(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which a setting of a group that is swept over is swept over too, by its one value.

    Hydra composes a sweep's own config first, without what is swept over: there the setting would meet the group's
    ordinary option, which may not know it. Other command lines, and what Hydra cannot read, are returned as they are.

    Example:
        >>> with_settings_swept(["-m", "beta_schedule=linear,cosine", "beta_schedule.length=0.5", "seed=1"])
        ['-m', 'beta_schedule=linear,cosine', 'beta_schedule.length=choice(0.5)', 'seed=1']
    """
    if not set(MULTIRUN) & set(arguments):
        return list(arguments)
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        overrides = {each: OverridesParser.create().parse_override(each) for each in arguments if "=" in each}
    except HydraException:  # which it will say itself
        return list(arguments)
    swept = tuple(f"{each.key_or_group}." for each in overrides.values() if each.is_sweep_override())
    alone = {
        text
        for text, each in overrides.items()
        if each.key_or_group.startswith(swept) and not each.is_sweep_override() and not each.is_delete()
    }
    return [_choice(each) if each in alone else each for each in arguments]


def _choice(override: str) -> str:
    key, _, value = override.partition("=")
    return f"{key}=choice({value})"

"""What a class may inherit: a fact about a method holds for the class that states it, not for one that changes it."""

from collections.abc import Collection


def changed_since_stated(kind: type, methods: Collection[str], fact: str) -> bool:
    """Return whether a class overrides one of ``methods`` and inherits ``fact`` from a parent of the override."""
    stated = next(place for place, parent in enumerate(kind.__mro__) if fact in vars(parent))
    return any(method in vars(parent) for parent in kind.__mro__[:stated] for method in methods)

"""Names of ``torch.nn`` that ``unified.nn`` lacks: expected failures, each of which fails once the name is there."""

ABSENT: frozenset[str] = frozenset()

NEVER = {
    "Container": "deprecated since 2017; Module itself does all of it",
}
"""Names that will not come, with the reason."""

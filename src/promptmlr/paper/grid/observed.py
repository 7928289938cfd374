"""How tables and files name the labels that the training of a cell saw.

A fraction of the labels is written as a number, every other protocol of `labels.Observation` as its name.
"""

from collections.abc import Sequence

from promptmlr.labels import Observation
from promptmlr.reporting import counted

__all__ = ["Observed", "amounts", "as_asked", "column", "in_words", "kind_of", "observation_of", "observed_as"]

Observed = float | str


def observed_as(value: Observation | float | str) -> Observed:
    """A protocol as files store it: a number, or a name."""
    found = value if isinstance(value, Observation) else observation_of(value)
    return float(found.amount) if found.protocol == "fraction" else found.name


def observation_of(observed: Observed) -> Observation:
    """The protocol that files store as `observed`.

    Raises:
        UserError: it is no protocol.
    """
    return Observation.parse(str(observed))


def column(observed: Observed | None) -> str:
    """The heading of its column: "10 %", "400 labels"; "mean" for None, the mean over all columns."""
    if observed is None:
        return "mean"
    if isinstance(observed, float):
        return f"{100 * observed:g} %"
    found = observation_of(observed)
    return counted(int(found.amount), "label") if found.protocol == "labels" else observed


def in_words(observed: Sequence[Observed]) -> list[str]:
    """A sentence on each protocol other than a fraction; numbers of labels share one."""
    found = [one for one in map(observation_of, observed) if one.protocol != "fraction"]
    words = [f"{one.name}: {one}; test labels stay as they are." for one in found if one.protocol != "labels"]
    if len(words) < len(found):
        words.append(
            "Numbers of labels: that many of the known labels, chosen at random, are kept, the others are hidden; a "
            "larger number keeps the labels of a smaller one, seed by seed. Test labels stay as they are."
        )
    return words


def kind_of(observed: Sequence[Observed]) -> str:
    """The kind of them all: "fraction" or "number", along which curves can be drawn, else "protocol"."""
    protocols = {str(observation_of(one).protocol) for one in observed}
    if len(protocols) > 1:
        return "protocol"
    return {"fraction": "fraction", "labels": "number"}.get(protocols.pop(), "protocol")


def amounts(observed: Sequence[Observed]) -> list[float]:
    """The fractions, or the numbers of labels."""
    return [observation_of(one).amount for one in observed]


def as_asked(observed: Sequence[Observed]) -> str:
    """The command line option that asks for these protocols."""
    if kind_of(observed) == "number":
        return "--labels " + ",".join(f"{amount}" for amount in amounts(observed))
    return "--observed " + ",".join(f"{one:g}" if isinstance(one, float) else one for one in observed)

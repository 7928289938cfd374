"""Which labels the training of a cell saw, as it stands in tables and files.

A fraction of the labels is a number, as it always was; every other protocol of `labels.Observation` is its name.
"""

from collections.abc import Sequence

from promptmlr.labels import Observation
from promptmlr.reporting import counted

__all__ = ["Observed", "amounts", "as_asked", "column", "in_words", "kind_of", "observation_of", "observed_as"]

Observed = float | str


def observed_as(value: Observation | float | str) -> Observed:
    """How a protocol is kept: a number, or a name."""
    found = value if isinstance(value, Observation) else observation_of(value)
    return float(found.amount) if found.protocol == "fraction" else found.name


def observation_of(observed: Observed) -> Observation:
    """The protocol that is kept so.

    Raises:
        UserError: there is none.
    """
    return Observation.parse(str(observed))


def column(observed: Observed | None) -> str:
    """The head of its column: "10 %", "400 labels"; "mean" of all of them, which is None."""
    if observed is None:
        return "mean"
    if isinstance(observed, float):
        return f"{100 * observed:g} %"
    found = observation_of(observed)
    return counted(int(found.amount), "label") if found.protocol == "labels" else observed


def in_words(observed: Sequence[Observed]) -> list[str]:
    """A sentence on each protocol that is no fraction, and one on all numbers of labels."""
    found = [one for one in map(observation_of, observed) if one.protocol != "fraction"]
    words = [f"{one.name}: {one}; test labels stay as they are." for one in found if one.protocol != "labels"]
    if len(words) < len(found):
        words.append(
            "Numbers of labels: so many of the known ones, chosen at random, are kept, the others are hidden; what a "
            "seed keeps of few it keeps of more. Test labels stay as they are."
        )
    return words


def kind_of(observed: Sequence[Observed]) -> str:
    """What several of them are together: "fraction" or "number", along which curves can be drawn, else "protocol"."""
    protocols = {str(observation_of(one).protocol) for one in observed}
    if len(protocols) > 1:
        return "protocol"
    return {"fraction": "fraction", "labels": "number"}.get(protocols.pop(), "protocol")


def amounts(observed: Sequence[Observed]) -> list[float]:
    """The fractions, or the numbers of labels."""
    return [observation_of(one).amount for one in observed]


def as_asked(observed: Sequence[Observed]) -> str:
    """The option that asks for them."""
    if kind_of(observed) == "number":
        return "--labels " + ",".join(f"{amount}" for amount in amounts(observed))
    return "--observed " + ",".join(f"{one:g}" if isinstance(one, float) else one for one in observed)

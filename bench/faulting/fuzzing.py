"""Damaged input given to a command: it refuses it in one line, or goes on with what it still says."""

import shutil
from contextlib import suppress
from pathlib import Path

from faulting.content import Content, content_of, difference
from faulting.inputs import Input
from faulting.mutations import damage
from faulting.verdict import Case

__all__ = ["fuzz"]

WORKING = ("cache", "store")  # what a command may fill


def fuzz(case: Case) -> None:
    """Damage one file, up to three times, and run the command on it."""
    target = case.target
    assert isinstance(target, Input)
    if target.first is not None:
        case.ended(case.start(target.first.split()))
    files = sorted({path for pattern in target.damaged for path in case.folder.glob(pattern) if path.is_file()})
    victim = case.chance.choice(files)
    ways = []
    for _ in range(case.chance.choice((1, 1, 2, 3))):
        if victim.is_file():
            with suppress(OSError):
                ways.append(damage(victim, files, case.chance))
    case.hits += 1
    before = content_of(case.folder)
    outcome = case.ended(case.start(target.words.split()))
    after = content_of(case.folder, temporary=True)
    what = f"{victim.relative_to(case.folder)} with {', '.join(ways)}"
    if changed := difference(before, after, [target.out, f"{target.out}.partial", *WORKING, *target.beside_out]):
        case.find("lost", f"{what}: {changed}")
    made = [{name for name in one if f"{name}/".startswith(f"{target.out}/")} for one in (before, after)]
    if outcome.code not in (0, None) and made[1] - made[0] and not target.grows:
        case.find("different", f"{what}: it was refused, and there is {sorted(made[1])[0]}: {outcome.error}")
    if outcome.code == 0 and target.exact:
        wrong = difference(case.reference.after, after, [*target.but, *WORKING])
        if wrong:
            case.find("different", f"{what}: {wrong}")
    if target.without and outcome.code is not None:
        _repeat_without(case, target, outcome.code, after)
    if outcome.code:
        case.refused, case.unnamed = True, not _names(outcome.error, victim, case.folder)
    case.findings = [type(one)(one.kind, f"{what}: {one.text}") for one in case.findings]


def _repeat_without(case: Case, target: Input, code: int, after: Content) -> None:
    """Run it again without what it may not depend on, from the same damaged files."""
    for name in (*target.without, target.out, f"{target.out}.partial"):
        shutil.rmtree(case.folder / name, ignore_errors=True)
    again = case.ended(case.start(target.words.split()))
    wrong = difference(content_of(case.folder, temporary=True), after, target.without)
    if again.code != code or wrong:
        case.find("different", f"without {target.without[0]} it ends with {again.code}, with it with {code}; {wrong}")


def _names(error: str, victim: Path, folder: Path) -> bool:
    """Whether an error says where to look: the file, or a folder that it is in."""
    places = [victim, *victim.parents[: len(victim.relative_to(folder).parents) - 1]]
    return any(place.name in error for place in places)

"""How often classes are present, as a person knows it: one number, or a CSV with the columns class and share."""

from collections.abc import Sequence

from promptmlr.data.class_table import rows_of_classes
from promptmlr.errors import UserError
from promptmlr.names import checked_path, first_names

__all__ = ["shares_of"]


def shares_of(text: str, class_names: Sequence[str]) -> float | tuple[float, ...]:
    """The share of images that hold a class: a number for all classes, or (C,) from a file that names every class.

    Args:
        text: a number in (0, 1), or a CSV.
        class_names: C names.

    Raises:
        UserError: neither, a class that is missing or not known, or a share outside of (0, 1).
    """
    try:
        return _checked(float(text), "--share")
    except ValueError:
        pass
    path = checked_path(text)
    if not path.is_file():
        raise UserError(f"--share {text}: neither a number between 0 and 1 nor a file")
    found: dict[str, float] = {}
    for where, name, said in rows_of_classes(text, "share", class_names):
        if name in found:
            raise UserError(f"{where}: {name!r} has a share already; leave one of them")
        try:
            found[name] = _checked(float(said), where)
        except ValueError:
            raise UserError(f"{where}: {said!r} is no number between 0 and 1") from None
    missing = [name for name in class_names if name not in found]
    if missing:
        raise UserError(f"{path}: no share for {first_names(missing)}; give one for every class")
    return tuple(found[name] for name in class_names)


def _checked(share: float, where: str) -> float:
    if not 0 < share < 1:
        raise UserError(
            f"{where}: a share of {share:g} is outside (0, 1); 0.1 means that a tenth of the images hold the class"
        )
    return share

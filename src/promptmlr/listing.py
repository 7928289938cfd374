"""What runs there are in a folder, and in what two of them differ. Reads run folders, changes nothing."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from promptmlr.errors import UserError, nearest
from promptmlr.report.tables import csv_text, percent_interval, signed, table_lines
from promptmlr.run import BackboneRecord, RunConfig, load_run, partial_of, read_config, read_evaluation, read_metrics
from promptmlr.run.folder import CONFIG, EPOCHS, MASK, METRICS, PARTIAL, WEIGHTS

__all__ = ["SORTED_BY", "Comparison", "RunRow", "compare_runs", "find_runs", "list_runs", "rows_as_csv", "rows_as_text"]

LONG = ("backbone", "data")
SHARED = ("state", "method", *LONG, "observed", "seed", "epochs")
UNKNOWN = "–"
SHORT, SHORT_HASH = 48, 13  # letters of a value that is shown
SORTED_BY = ("run", "map", "selection", "date", "seconds", "method", "observed", "seed")
DESCENDING = ("map", "selection", "date")


@dataclass(frozen=True)
class RunRow:
    """A line of the list. None: not known.

    Attributes:
        run: the folder, from where was looked.
        state: "finished", or how many epochs are done.
        method: as `METHODS` names it.
        backbone: name and weights.
        data: what it was trained on.
        observed: fraction of the known labels that were shown.
        seed: of mask and start.
        epochs: of the recipe.
        learned: how many numbers were learned.
        select: what the kept epoch was chosen by: nothing (last), held-out labels (val) or test data.
        selection: its mAP there, in 0..1.
        map: mAP of `promptmlr evaluate`, in 0..1.
        low: lower end of its interval.
        high: upper end.
        evaluated_on: the data of `map`.
        seconds: of training.
        date: when it was finished, or last written; local time.
    """

    run: str
    state: str
    method: str
    backbone: str
    data: str
    observed: float
    seed: int
    epochs: int
    learned: int | None
    select: str
    selection: float | None
    map: float | None
    low: float | None
    high: float | None
    evaluated_on: str | None
    seconds: float
    date: str


def find_runs(folder: Path) -> Iterator[Path]:
    """Folders that are runs, whole or not, at any depth, sorted; hidden and linked ones are left out."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = {CONFIG, EPOCHS, MASK, METRICS, WEIGHTS}.intersection(files)
        unfinished = place.endswith(PARTIAL) and CONFIG in found
        if unfinished or len(found) > 1:
            folders.clear()
            yield Path(place)


def list_runs(folder: Path, sort: str = "run") -> tuple[list[RunRow], list[str]]:
    """The runs below a folder.

    Args:
        folder: where to look.
        sort: one of `SORTED_BY`; scores and dates the highest first, what is not known last.

    Returns:
        A row for each run that can be read, and a line for each that cannot.

    Raises:
        UserError: no such folder or column, or no run.
    """
    if sort not in SORTED_BY:
        raise UserError(f"--sort {sort}: no such column; {nearest(sort, SORTED_BY)}")
    if not folder.is_dir():
        raise UserError(f"no folder {folder}")
    rows, damaged = [], []
    for path in find_runs(folder):
        try:
            rows.append(_row(path, path.relative_to(folder).as_posix()))
        except (UserError, OSError, ValueError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, UserError) else f"{path} is damaged: {error!r}"
            damaged.append(" ".join(reason.split()))
    if not rows and not damaged:
        raise UserError(f"no run folder in {folder}; `promptmlr train` makes them")
    rows.sort(key=lambda row: _place(getattr(row, sort), sort in DESCENDING))
    return rows, damaged


def rows_as_csv(rows: list[RunRow]) -> str:
    """All columns, scores as fractions."""
    return csv_text([field.name for field in fields(RunRow)], map(asdict, rows))


def rows_as_text(rows: list[RunRow], width: int | None = None) -> list[str]:
    """A table; what all runs share is said once, above it, long names are numbered there, empty columns left out.

    Args:
        rows: at least one.
        width: of the terminal, in letters.
    """
    cells = [_cells(row) for row in rows]
    values = {name: list(dict.fromkeys(cell[name] for cell in cells)) for name in cells[0]}
    shared = [name for name in SHARED if len(rows) > 1 and len(values[name]) == 1]
    lines = [f"all: {name} {values[name][0]}" for name in shared]
    for name in LONG:
        if name not in shared:
            lines += [f"{name} {number}: {value}" for number, value in enumerate(values[name], 1)]
            for cell in cells:
                cell[name] = str(values[name].index(cell[name]) + 1)
    columns = [name for name in values if name not in shared and values[name] != [UNKNOWN]]
    words = sum(name in columns for name in ("run", "state", "method"))
    return [*lines, "", *table_lines(columns, [[cell[name] for name in columns] for cell in cells], words, width)]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        names: of the two.
        settings: (setting, value of the one, of the other), those that differ.
        scores: (class or "mAP", fraction of the one, of the other), where both were evaluated on the same labels.
        remark: what to know about the scores, or why there are none.
    """

    names: tuple[str, str]
    settings: list[tuple[str, str, str]]
    scores: list[tuple[str, float, float]]
    remark: str

    def lines(self, width: int | None = None) -> list[str]:
        """As text."""
        lines = ["no setting differs"]
        if self.settings:
            lines = table_lines(("setting", *self.names), self.settings, 3, width)
        if self.scores:
            rows = [(name, *(f"{100 * x:.1f}" for x in (a, b)), signed(100 * (b - a))) for name, a, b in self.scores]
            lines += ["", *table_lines(("AP %", *self.names, "difference"), rows, 1, width)]
        return [*lines, "", self.remark]


def compare_runs(folder: Path, one: str, other: str) -> Comparison:
    """The settings in which two runs differ, and their scores where these can be compared.

    Args:
        folder: where their names start, as `list_runs` gives them; a path of its own will do too.
        one: a run, whole or not.
        other: another.

    Raises:
        UserError: there is no such run, or it is damaged.
    """
    paths = [_named(folder, name) for name in (one, other)]
    first, second = (_flat(_config(path).model_dump(mode="json")) for path in paths)
    settings = [
        (key, _shown(key, first.get(key)), _shown(key, second.get(key)))
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]
    scores, remark = _scores([read_evaluation(path) for path in paths])
    return Comparison((one, other), settings, scores, remark)


def _size(tower: BackboneRecord) -> str:
    """Of the images that it saw, or of the features that were given."""
    return f"{tower.feature_width} wide" if tower.preprocessing is None else f"{tower.preprocessing.image_size} px"


def _row(path: Path, name: str) -> RunRow:
    partial = path.name.endswith(PARTIAL)
    config = _config(path)
    metrics = {} if partial else read_metrics(path)
    lines = _epochs(path)
    spent = sum(line["seconds"] for line in lines)  # of a resumed run, metrics.json knows the last part alone
    state = f"epoch {len(lines)} of {config.recipe.epochs}" if partial else "finished"
    evaluation = read_evaluation(path) or {}
    low, high = evaluation.get("mean_ap_interval") or (None, None)
    written = path / (METRICS if not partial else EPOCHS if lines else CONFIG)
    date = datetime.fromtimestamp(written.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    tower = config.backbone
    return RunRow(
        run=name,
        state=state,
        method=config.method,
        backbone=" ".join(filter(None, (tower.name, tower.pretrained, _size(tower)))),
        data=config.data.source,
        observed=config.data.observed,
        seed=config.seed,
        epochs=config.recipe.epochs,
        learned=metrics.get("learned_parameters"),
        select=config.select,
        selection=metrics.get("selection_map"),
        map=evaluation.get("mean_ap"),
        low=low,
        high=high,
        evaluated_on=evaluation.get("data"),
        seconds=max(spent, metrics.get("seconds", 0)),
        date=date,
    )


def _config(path: Path) -> RunConfig:
    """Of a run; a whole one is read whole, so that damage is noticed."""
    return read_config(path / CONFIG) if path.name.endswith(PARTIAL) else load_run(path).config


def _epochs(path: Path) -> list[dict[str, Any]]:
    file = path / EPOCHS
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def _place(value: Any, descending: bool) -> tuple[bool, Any]:
    """What to sort by: what is not known comes last."""
    if value is None:
        return True, 0
    if descending:
        value = -value if isinstance(value, float) else -int("".join(filter(str.isdigit, value)))
    return False, value


def _cells(row: RunRow) -> dict[str, str]:
    def percent(value: float | None) -> str:
        return UNKNOWN if value is None else f"{100 * value:.1f}"

    has_interval = None not in (row.map, row.low, row.high)
    score = percent_interval(row.map or 0, row.low or 0, row.high or 0) if has_interval else percent(row.map)
    return {
        "run": row.run,
        "state": row.state,
        "method": row.method,
        "backbone": row.backbone,
        "data": row.data,
        "observed": f"{row.observed:g}",
        "seed": str(row.seed),
        "epochs": str(row.epochs),
        "learned": UNKNOWN if row.learned is None else f"{row.learned:,}",
        "selection mAP %": UNKNOWN if row.selection is None else f"{percent(row.selection)} {row.select}",
        "mAP % (95 %)": score,
        "seconds": f"{row.seconds:.0f}",
        "date": row.date,
    }


def _named(folder: Path, name: str) -> Path:
    for path in (folder / name, Path(name), partial_of(folder / name)):
        if (path / CONFIG).is_file():
            return path
    known = [path.relative_to(folder).as_posix() for path in find_runs(folder)]
    raise UserError(f"no run {name!r} in {folder}; {nearest(name, known)}")


def _flat(settings: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{where}{key}.") if isinstance(value, Mapping) else {f"{where}{key}": value}
    return flat


def _shown(key: str, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    room = SHORT_HASH if key.endswith("sha256") else SHORT
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _scores(found: list[dict[str, Any] | None]) -> tuple[list[tuple[str, float, float]], str]:
    first, second = found
    if first is None or second is None:
        return [], "no scores to compare: not both have an evaluation.json; run `promptmlr evaluate` on the same data"
    same = ("data", "images", "labels_used")
    if [first.get(key) for key in same] != [second.get(key) for key in same]:
        return [], f"no scores to compare: evaluated on other data ({_where(first)}; {_where(second)})"
    if first["per_class_ap"].keys() != second["per_class_ap"].keys():
        return [], f"no scores to compare: other classes were scored on {first['data']}"
    pairs = [(name, ap, second["per_class_ap"][name]) for name, ap in first["per_class_ap"].items()]
    rows = [("mAP", first["mean_ap"], second["mean_ap"]), *(pair for pair in pairs if None not in pair)]
    return rows, (
        f"both on {_where(first)}; whether a difference is more than noise, `promptmlr compare` says with a paired "
        "interval"
    )


def _where(evaluation: Mapping[str, Any]) -> str:
    return f"{evaluation.get('data')}, {evaluation.get('images'):,} images, {evaluation.get('labels_used'):,} labels"

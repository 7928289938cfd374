"""The model card of a run: `README.md` on the Hugging Face Hub."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from promptmlr.backbone import MINIATURES
from promptmlr.calibration import FITTED
from promptmlr.methods import METHOD_TABLE
from promptmlr.report.tables import markdown_table, percent_interval
from promptmlr.run import Run, RunConfig

__all__ = ["model_card"]

CITATION = """\
@inproceedings{rawlekar2025positivecoop,
  title     = {Rethinking Prompting Strategies for Multi-Label Recognition with Partial Annotations},
  author    = {Rawlekar, Samyak and Bhatnagar, Shubhang and Ahuja, Narendra},
  booktitle = {IEEE/CVF Winter Conference on Applications of Computer Vision (WACV)},
  year      = {2025},
  note      = {arXiv:2409.08381}
}"""

LIMITS = """\
- Training read a blank as "unknown" and learned from the labels that were there. Where labels are not missing at random
  (someone ticked only what is large, rare or easy), the recognizer inherits that choice, and so do its thresholds.
- It sees an image as a coarse grid of regions: things smaller than one region are easily missed.
- What CLIP does not know it does not learn from a few labels; class names that CLIP reads as something else start
  badly.
- The image tower is frozen and comes with CLIP's own biases. Nobody has checked this run for use where a wrong label
  hurts anyone."""


def model_card(
    run: Run, config: RunConfig, metrics: Mapping[str, Any], evaluation: Mapping[str, Any] | None, repository: str
) -> str:
    """The card, with its front matter.

    Args:
        run: for its thresholds and calibration.
        config: as it is published.
        metrics: `metrics.json`.
        evaluation: `evaluation.json`, or None.
        repository: "owner/name".
    """
    name = repository.split("/")[-1]
    parts = [
        _front_matter(config, evaluation, name),
        f"# {name}",
        f"Says which of {len(config.class_names)} classes are in an image: a recognizer trained with promptmlr "
        f"{config.versions.get('promptmlr', '')} from partial labels on a frozen CLIP.",
        _use(run, config, repository),
        "## Data and training\n\n" + _training(config, metrics),
        "## Scores\n\n" + _scores(config, evaluation),
        "## Classes and thresholds\n\n" + _classes(run, evaluation),
        "## Limits\n\n" + LIMITS,
        f"## Citation\n\n```bibtex\n{CITATION}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(config: RunConfig, evaluation: Mapping[str, Any] | None, name: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = None
    if evaluation is not None and evaluation.get("mean_ap") is not None:
        results = [
            EvalResult(
                task_type="image-classification",
                task_name="Multi-label image classification",
                dataset_type="custom",
                dataset_name=str(evaluation["data"]),
                metric_type="mAP",
                metric_value=round(float(evaluation["mean_ap"]), 4),
            )
        ]
    data = ModelCardData(
        library_name="promptmlr",
        pipeline_tag="image-classification",
        tags=["promptmlr", "clip", "multi-label", "partial-labels", config.method],
        model_name=name,
        eval_results=results,
    )
    return f"---\n{data.to_yaml()}\n---"


def _use(run: Run, config: RunConfig, repository: str) -> str:
    return f"""## Use

```console
$ pip install promptmlr
$ promptmlr predict hf://{repository} photos/ --out predictions.csv
```

```python
import promptmlr as pm

run = pm.load_run("hf://{repository}")
probabilities = run.predict(["photos/1.jpg"])  # (1, {len(config.class_names)}), in the order of run.class_names
```

These files hold what was learned; the image tower is not among them. {_where(run, config)} Its weights are
compared with SHA-256 `{config.backbone.weights_sha256}`."""


def _where(run: Run, config: RunConfig) -> str:
    """Where to get the image tower."""
    tower = config.backbone
    if tower.name in MINIATURES:
        return "It comes with promptmlr."
    for option, name, given in (
        ("--backbone", tower.name, run.config.backbone.name),
        ("--pretrained", tower.pretrained, run.config.backbone.pretrained),
    ):
        if name != given:  # it was a path
            return f"Have the file `{name}` at hand and name it with `{option} FILE`."
    return "It is downloaded through open_clip when it is first needed."


def _training(config: RunConfig, metrics: Mapping[str, Any]) -> str:
    method, data, tower = METHOD_TABLE.get(config.method), config.data, config.backbone
    summary = "" if method is None else f": {method.summary}"
    observed = "" if data.observed == 1 else f"; {100 * data.observed:.3g} % of the known ones were shown"
    if data.protocol is not None:
        observed += f" ({data.protocol})"
    chosen = {"last": "the last one", "val": "the best on held-out observed labels", "test": "the best on test data"}
    rows = [
        ["data", f"{data.source}: {data.images:,} images, {data.known_labels:,} known labels{observed}"],
        ["method", f"`{config.method}`{summary}"],
        ["learned numbers", f"{int(metrics['learned_parameters']):,}"],
        ["image tower", " ".join(filter(None, (tower.name, tower.pretrained, f"at {_size(config)} px")))],
        ["epochs", f"{config.recipe.epochs}; kept: {chosen[config.select]}"],
        ["seeds", f"{config.seed} (mask and start), {config.order_seed} (order of images)"],
        ["software", f"promptmlr {version('promptmlr')}, torch {config.versions.get('torch', '?')}"],
    ]
    return markdown_table(["", ""], [[_cell(text) for text in row] for row in rows], 2)


def _size(config: RunConfig) -> int:
    return config.backbone.pixels.image_size


def _scores(config: RunConfig, evaluation: Mapping[str, Any] | None) -> str:
    if evaluation is None:
        return "None were measured; `promptmlr evaluate` measures them, and exporting again puts them here."
    low, high = evaluation["mean_ap_interval"]
    value = evaluation["mean_ap"]
    has_interval = low is not None and value is not None
    mean_ap = percent_interval(value, low, high) if has_interval else f"{100 * value:.1f}"
    rows = [["mAP %" + (" (95 % bootstrap interval over images)" if has_interval else ""), mean_ap]]
    if (of_all := evaluation.get("population_map")) is not None:
        on_all = percent_interval(of_all, *evaluation["population_interval"])
        rows.append(["mAP % on all images like these (95 % interval)", on_all])
    rows += [[label, f"{100 * evaluation[key]:.1f}"] for label, key in (("CF1 %", "cf1"), ("OF1 %", "of1"))]
    where = f"On {evaluation['data']}: {evaluation['images']:,} images, {evaluation['labels_used']:,} known labels."
    why = {
        "The epoch was selected on test data": config.select == "test",
        "The run was trained on images of these names": evaluation.get("trained_on", False),
    }
    marked = "".join(f"\n\n{reason}, so these scores are too high." for reason, holds in why.items() if holds)
    return f"{where}\n\n{markdown_table(['score', 'value'], rows, 1)}{marked}"


def _classes(run: Run, evaluation: Mapping[str, Any] | None) -> str:
    explanation = "A class is a label where its probability is above its threshold. " + (
        f"Thresholds and calibration were fitted {FITTED[run.calibration.basis]}."
        if run.calibration is not None
        else "Nothing was calibrated: a probability of 0.9 may be right less or more often than that."
    )
    aps = {} if evaluation is None else evaluation["per_class_ap"]
    rows = []
    for name, threshold in zip(run.class_names, run.thresholds, strict=True):
        ap = aps.get(name)
        rows.append([_cell(name), f"{threshold:.3f}", "–" if ap is None else f"{100 * ap:.1f}"])
    return f"{explanation}\n\n{markdown_table(['class', 'threshold', 'AP %'], rows, 1)}"


def _cell(text: str) -> str:
    """Text of a user inside a table of Markdown."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")

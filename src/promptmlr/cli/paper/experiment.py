"""`promptmlr experiment`: what the paper could not do."""

from pathlib import Path

from cyclopts import App
from cyclopts.types import NonNegativeFloat

from promptmlr.cli.lists import counts, fractions, words
from promptmlr.cli.options import PositiveInt, Report
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal

__all__ = ["experiment"]

experiment = App(name="experiment", help="Go beyond the paper: captions that speak of absence, and few labels.")


@experiment.command
def absence(
    *,
    out: Path,
    rates: str = "0,0.0047,0.05,0.3,0.6",
    text_sides: PositiveInt = 3,
    observed: str = "0.05,0.1,0.3,0.9",
    seeds: PositiveInt = 5,
    steps: PositiveInt = 1_500,
    scenes: PositiveInt = 6_000,
    train_scenes: PositiveInt = 1_000,
    test_scenes: PositiveInt = 1_000,
    epochs: PositiveInt = 20,
    most_epochs: PositiveInt = 80,
    jobs: PositiveInt = 1,
    minutes: NonNegativeFloat | None = None,
    report: Report = None,
) -> None:
    """Do negative prompts fail because captions never speak of absence?

    Pretrains the miniature CLIP's text side on captions of which more or fewer do, beside one frozen image tower;
    probes each, and trains prompts and embeddings on it. Interrupted, or out of minutes, it goes on when repeated.

    Args:
        out: The folder of text sides, cells and tables.
        rates: Shares of captions that speak of absence, by commas; LAION's 0.0047 must be there.
        text_sides: Text sides per share, each with a seed of its own.
        observed: Fractions of labels to keep, by commas.
        seeds: Masks and starts per fraction.
        steps: Steps of the pretraining of a text side.
        scenes: Scenes that text sides are pretrained on.
        train_scenes: Scenes that methods are trained on.
        test_scenes: Scenes that methods are scored on.
        epochs: Epochs at which rates are chosen; then they are doubled.
        most_epochs: Where doubling ends, plateau or not.
        jobs: Processes.
        minutes: Begin nothing more after so many minutes. (default: no limit)
    """
    from promptmlr.paper.absence.outputs import AbsenceOutputs
    from promptmlr.paper.absence.plan import Plan
    from promptmlr.paper.absence.running import run_absence
    from promptmlr.paper.design.search import SearchRule

    plan = Plan(
        rates=sorted(fractions(rates, "--rates")),
        tower_seeds=text_sides,
        observed=fractions(observed),
        seeds=seeds,
        scenes=scenes,
        steps=steps,
        train_scenes=train_scenes,
        test_scenes=test_scenes,
        rule=SearchRule(epochs=epochs, most_epochs=max(epochs, most_epochs)),
    )
    with kept_in(out, report):
        results = run_absence(plan, out, jobs=jobs, minutes=minutes, reporter=Terminal())
    publish(AbsenceOutputs(results), out, report)


@experiment.command
def few_labels(
    *,
    out: Path,
    worlds: str = "scenes:usual:5,scenes:crowded:6,scenes:strangers:7,scenes:grainy:8",
    labels: str = "50,150,400,1000,6000,18000",
    ticked: str = "100,400,2000",
    methods: str = "dualembedding,baseline,positivecoop,negativecoop,dualcoop",
    seeds: PositiveInt = 5,
    train_scenes: PositiveInt = 1_000,
    test_scenes: PositiveInt = 1_000,
    jobs: PositiveInt = 1,
    report: Report = None,
) -> None:
    """Compare every method with CLIP's zero-shot, by the number of labels.

    Known labels of both kinds on 20 classes, then one tick per image. Interrupted, it goes on when repeated.

    Args:
        out: The folder of cells and tables.
        worlds: Drawn worlds, by commas; the strength's rule was not chosen on these.
        labels: Numbers of known labels, by commas.
        ticked: Numbers of images with one present label each and no other, by commas.
        methods: Names of `promptmlr methods` beside anchored and zeroshot, by commas.
        seeds: Masks in every world.
        train_scenes: Scenes that labels are drawn from.
        test_scenes: Scenes that methods are scored on.
        jobs: Processes.
    """
    from promptmlr.paper.few_labels.outputs import FewLabelsOutputs
    from promptmlr.paper.few_labels.running import FewLabels, run_few_labels

    plan = FewLabels(
        worlds=words(worlds),
        labels=sorted(counts(labels, "--labels")),
        single_positive_images=sorted(counts(ticked, "--ticked")),
        methods=words(methods),
        seeds=seeds,
        train_scenes=train_scenes,
        test_scenes=test_scenes,
    )
    with kept_in(out, report):
        results = run_few_labels(plan, out, jobs=jobs, reporter=Terminal())
    publish(FewLabelsOutputs(results), out, report)

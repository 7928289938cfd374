"""`promptmlr experiment`: what the paper could not do."""

from pathlib import Path

from cyclopts import App
from cyclopts.types import NonNegativeFloat

from promptmlr.cli.lists import counts, fractions, pair_of, words
from promptmlr.cli.options import PositiveInt, Report
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal

__all__ = ["experiment"]

experiment = App(
    name="experiment", help="Experiments beyond the paper: its claim with a prior, captions of absence, and few labels."
)


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
    """Do negative prompts fail because captions never mention absence?

    Pretrains text towers of the miniature CLIP on captions that mention absence more or less often, all with the same
    frozen image tower. Then it probes each text tower, and trains prompts and embeddings on it. If it was interrupted
    or ran out of --minutes, the same command continues it.

    Args:
        out: Folder for text towers, cells and tables.
        rates: Shares of captions that mention absence, separated by commas; LAION's 0.0047 must be among them.
        text_sides: Text towers per share, each with its own seed.
        observed: Fractions of the known labels to keep, separated by commas.
        seeds: Masks and initial values per fraction.
        steps: Training steps of each text tower.
        scenes: Scenes on which text towers are pretrained.
        train_scenes: Scenes on which methods are trained.
        test_scenes: Scenes on which methods are scored.
        epochs: Epochs at which learning rates are chosen; after that the number of epochs is doubled.
        most_epochs: Largest number of epochs, whether or not the plateau is reached.
        jobs: How many processes.
        minutes: Start nothing new after this many minutes. (default: no limit)
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

    First with known labels of both kinds on 20 classes, then with one present label per image. If it was interrupted,
    the same command continues it.

    Args:
        out: Folder for cells and tables.
        worlds: Drawn worlds, separated by commas. The rule for the prior strength was not chosen on the default ones.
        labels: Numbers of known labels, separated by commas.
        ticked: Numbers of images with one present label each and no other label, separated by commas.
        methods: Names from `promptmlr methods`, separated by commas, in addition to anchored and zeroshot.
        seeds: Masks per world.
        train_scenes: Scenes from which labels are drawn.
        test_scenes: Scenes on which methods are scored.
        jobs: How many processes.
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


@experiment.command
def claim(
    *,
    out: Path,
    worlds: str = "scenes:usual:11,scenes:crowded:12",
    pilot_world: str = "scenes:usual:13",
    caption_share: float = 0.3,
    observed: str = "0.02,0.1,0.5",
    seeds: PositiveInt = 5,
    train_scenes: PositiveInt = 512,
    test_scenes: PositiveInt = 500,
    scenes: PositiveInt = 6_000,
    steps: PositiveInt = 1_500,
    jobs: PositiveInt = 1,
    minutes: NonNegativeFloat | None = None,
    report: Report = None,
) -> None:
    """Is learning through the text tower worth it, if every pair of sides has the same prior?

    Trains prompts and embeddings on either side, all from the start and with the prior of `anchored`, on both
    miniatures of the package, and on one whose captions mention absence more often. A pilot first says how large an
    effect can be seen. If it was interrupted or ran out of --minutes, the same command continues it.

    Args:
        out: Folder for the text tower, cells and tables.
        worlds: Two drawn worlds, separated by a comma.
        pilot_world: The world of the pilot, which is in no comparison.
        caption_share: Share of captions that mention absence; a text tower is pretrained with it.
        observed: Fractions of the known labels to keep, separated by commas.
        seeds: Masks per condition.
        train_scenes: Scenes on which pairs are trained.
        test_scenes: Scenes on which they are scored.
        scenes: Scenes on which the text tower is pretrained.
        steps: Its training steps.
        jobs: How many processes.
        minutes: Start nothing new after this many minutes. (default: no limit)
    """
    from promptmlr.paper.claim.outputs import ClaimOutputs
    from promptmlr.paper.claim.plan import Plan
    from promptmlr.paper.claim.running import run_claim

    plan = Plan(
        caption_share=caption_share,
        worlds=pair_of(words(worlds), "--worlds"),
        observed=sorted(fractions(observed)),
        seeds=seeds,
        train_scenes=train_scenes,
        test_scenes=test_scenes,
        pilot_world=pilot_world,
        scenes=scenes,
        steps=steps,
    )
    with kept_in(out, report):
        results = run_claim(plan, out, jobs=jobs, minutes=minutes, reporter=Terminal())
    publish(ClaimOutputs(results), out, report)

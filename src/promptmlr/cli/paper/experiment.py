"""`promptmlr experiment`: what the paper could not do."""

from pathlib import Path
from typing import Annotated

import typer

from promptmlr.cli.options import counts, fractions, words
from promptmlr.cli.outcome import kept_in, publish
from promptmlr.cli.progress import Terminal

__all__ = ["experiment"]

experiment = typer.Typer(help="What the paper could not do.", no_args_is_help=True)


@experiment.callback()
def _experiments() -> None:
    pass


@experiment.command()
def absence(
    out: Annotated[Path, typer.Option(help="The folder of text sides, cells and tables.", show_default=False)],
    rates: Annotated[
        str, typer.Option(help="Shares of captions that speak of absence, by commas; LAION's 0.0047 must be there.")
    ] = "0,0.0047,0.05,0.3,0.6",
    text_sides: Annotated[int, typer.Option(min=1, help="Text sides per share, each with a seed of its own.")] = 3,
    observed: Annotated[str, typer.Option(help="Fractions of labels to keep, by commas.")] = "0.05,0.1,0.3,0.9",
    seeds: Annotated[int, typer.Option(min=1, help="Masks and starts per fraction.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Of the pretraining of a text side.")] = 1_500,
    scenes: Annotated[int, typer.Option(min=1, help="That text sides are pretrained on.")] = 6_000,
    train_scenes: Annotated[int, typer.Option(min=1, help="That methods are trained on.")] = 1_000,
    test_scenes: Annotated[int, typer.Option(min=1, help="That methods are scored on.")] = 1_000,
    epochs: Annotated[int, typer.Option(min=1, help="Rates are chosen at these; then they are doubled.")] = 20,
    most_epochs: Annotated[int, typer.Option(min=1, help="Where doubling ends, plateau or not.")] = 80,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Begin nothing more after so many minutes. (default: no limit)", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the results as a page as well.", show_default=False)
    ] = None,
) -> None:
    """Do negative prompts fail because captions never speak of absence?

    Pretrains the miniature CLIP's text side on captions of which more or fewer do, beside one frozen image tower;
    probes each, and trains prompts and embeddings on it. Interrupted, or out of minutes, it goes on when repeated.
    """
    from promptmlr.paper.absence.outputs import AbsenceOutputs
    from promptmlr.paper.absence.plan import Plan
    from promptmlr.paper.absence.running import run_absence
    from promptmlr.paper.design.search import Rule

    plan = Plan(
        rates=sorted(fractions(rates, "--rates")),
        tower_seeds=text_sides,
        observed=fractions(observed),
        seeds=seeds,
        scenes=scenes,
        steps=steps,
        train_scenes=train_scenes,
        test_scenes=test_scenes,
        rule=Rule(epochs=epochs, most_epochs=max(epochs, most_epochs)),
    )
    with kept_in(out, report):
        results = run_absence(plan, out, jobs=jobs, minutes=minutes, reporter=Terminal())
    publish(AbsenceOutputs(results), out, report)


@experiment.command("few-labels")
def few_labels(
    out: Annotated[Path, typer.Option(help="The folder of cells and tables.", show_default=False)],
    worlds: Annotated[
        str, typer.Option(help="Drawn worlds, by commas; the strength's rule was not chosen on these.")
    ] = "scenes:usual:5,scenes:crowded:6,scenes:strangers:7,scenes:grainy:8",
    labels: Annotated[str, typer.Option(help="Numbers of known labels, by commas.")] = "50,150,400,1000,6000,18000",
    ticked: Annotated[
        str, typer.Option(help="Numbers of images with one present label each and no other, by commas.")
    ] = "100,400,2000",
    methods: Annotated[
        str, typer.Option(help="Names of `promptmlr methods` beside anchored and zeroshot, by commas.")
    ] = "dualembedding,baseline,positivecoop,negativecoop,dualcoop",
    seeds: Annotated[int, typer.Option(min=1, help="Masks in every world.")] = 5,
    train_scenes: Annotated[int, typer.Option(min=1, help="That labels are drawn from.")] = 1_000,
    test_scenes: Annotated[int, typer.Option(min=1, help="That methods are scored on.")] = 1_000,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Write the results as a page as well.", show_default=False)
    ] = None,
) -> None:
    """What few labels are worth: every method beside the untouched CLIP, by the number of labels.

    Known labels of both kinds on 20 classes, then one tick per image. Interrupted, it goes on when repeated.
    """
    from promptmlr.paper.few_labels.outputs import FewLabelsOutputs
    from promptmlr.paper.few_labels.running import FewLabels, run_few_labels

    plan = FewLabels(
        worlds=words(worlds),
        labels=sorted(counts(labels, "--labels")),
        ticked_images=sorted(counts(ticked, "--ticked")),
        methods=words(methods),
        seeds=seeds,
        train_scenes=train_scenes,
        test_scenes=test_scenes,
    )
    with kept_in(out, report):
        results = run_few_labels(plan, out, jobs=jobs, reporter=Terminal())
    publish(FewLabelsOutputs(results), out, report)

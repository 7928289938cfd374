"""Reproduction of the paper, and experiments that test its hypothesis.

An experiment is a folder here and a verb in `cli/paper/`. To add one, write:

1. Its plan: a frozen dataclass of what is varied and what is held fixed.
2. Its run. `grid.folder.GridFolder(out, kind).held(settings)` locks the folder, compares the settings with those of an
   earlier call and reads its cells. `has_all` tells which cells are missing, `jobs.completed_tasks` computes them in
   several processes, with progress and up to a `jobs.Deadline`, and each result goes to `add` and `save`. `results`
   returns arrays, of which `GridResults.mean` and `contrast` are estimates with intervals. If cells are the paper's
   methods on a data set, `grid.compare.compare` does all of this, as in `few_labels/`.
3. Its outputs: a subclass of `promptmlr.report.outputs.Outputs` with a title, a lead, `findings()` and `files()`.
   `estimates` formats means and differences; `estimates.corrected` applies Holm's correction to a table of differences.
4. Its verb: makes the plan from options, runs it inside `kept_in(out, report)`, and calls `publish` with the outputs.

A measurement without cells (`cost/`, `text_probe/`, `captions/`) has parts 3 and 4 only.
"""

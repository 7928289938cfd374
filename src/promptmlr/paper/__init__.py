"""What reproduces the paper and tests its hypothesis: methods and sides compared, and what comes of it.

An experiment is a folder that fills a frame, and a verb in `cli/paper/`. To add one:

1. Its plan: a frozen dataclass of what is varied and what is held fixed.
2. Its running. `grid.folder.GridFolder(out, kind).held(settings)` holds the folder, compares the settings of an earlier
   call and finds its cells; `has_all` tells which are missing, `jobs.finished` works on those over processes, with
   progress and until a `jobs.Deadline`, and each result goes to `add` and `save`. `results` has them as arrays:
   `GridResults.mean` and `contrast` are estimates with intervals. Where cells are the paper's methods on a data set,
   `grid.compare.compare` does all of this, as in `few_labels/`.
3. Its outputs: a subclass of `promptmlr.report.outputs.Outputs` with a title, a lead, `findings()` and `files()`. Means
   and differences in them are words and records of `estimates`, and `estimates.corrected` is a table of differences
   with Holm's correction.
4. Its verb: options to plan, `with kept_in(out, report)` around the running, `publish` of the outputs.

A measurement without cells (`cost/`, `text_probe/`, `captions/`) has 3 and 4 alone.
"""

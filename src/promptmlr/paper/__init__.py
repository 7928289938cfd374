"""What reproduces the paper and tests its hypothesis: methods and sides compared, and what comes of it.

An experiment is a folder: its plan (a frozen dataclass), its running (cells that `grid.folder.GridFolder` keeps and
`jobs.finished` works on) and its outputs (`promptmlr.report.outputs.Outputs`: findings and files); and a verb in
`cli/paper/`.
"""

"""What data are read for, and the data sets of published tables; how they are read is said in `promptmlr.options`."""

from typing import Literal

from promptmlr.options import DataOptions

__all__ = ["Benchmark", "DataOptions", "Purpose"]

Purpose = Literal["train", "test"]
Benchmark = Literal["voc2007", "coco2014", "nuswide", "vg500", "vg200"]  # the first two are the paper's

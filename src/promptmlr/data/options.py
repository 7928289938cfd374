"""What data are read for, and the paper's data sets; how they are read is said in `promptmlr.options`."""

from typing import Literal

from promptmlr.options import DataOptions

__all__ = ["Benchmark", "DataOptions", "Purpose"]

Purpose = Literal["train", "test"]
Benchmark = Literal["voc2007", "coco2014"]  # the paper's data sets

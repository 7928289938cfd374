"""Imports all that a command may need: the process that forks all others loads this module, and does nothing else."""

import atexit
import gc
import importlib
import os
import pkgutil

import onnx  # noqa: F401
import onnxruntime
import onnxscript  # noqa: F401
import torch

import promptmlr

torch.set_num_threads(1)  # before any work, so that there is no pool of threads to be lost in a fork
for _module in pkgutil.walk_packages(promptmlr.__path__, "promptmlr."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
importlib.import_module("anyio._backends._asyncio")  # which a service loads by its name at the first request
onnxruntime.set_default_logger_severity(3)
atexit.register(os._exit, 0)  # of the process that forks: it has nothing to say at its end
gc.collect()
gc.freeze()  # a collection in a forked process would otherwise copy all of it

"""From labelled images to a run folder: `running.py` is the list of what happens, each other file one step of it."""

from promptmlr.pipeline.images import augmentation_of
from promptmlr.pipeline.job import TrainingJob, build
from promptmlr.pipeline.observed import check_labels
from promptmlr.pipeline.passing import passing_run
from promptmlr.pipeline.running import train_run
from promptmlr.pipeline.selection import score_on

__all__ = ["TrainingJob", "augmentation_of", "build", "check_labels", "passing_run", "score_on", "train_run"]

"""Archives: sets of images too large for a folder, in shards that lie anywhere, processed shard by shard.

    patterns ── sources.py ──▸ shards ── kinds/ ──▸ samples ── a Work ──▸ rows ── outputs.py ──▸ a file per shard

A `Work` turns samples into rows: `Predictor` into probabilities, `Encoder` into regions. `job.py` does that for one
shard, and is all that an engine runs: `engines/here.py` one shard after another, `engines/ray.py` many at once.
`manifest.py` remembers which shards are finished.
"""

from promptmlr.archives.encoder import Encoder
from promptmlr.archives.job import Job, process_shard
from promptmlr.archives.labels import LabelTable
from promptmlr.archives.manifest import Manifest
from promptmlr.archives.predictor import Predictor
from promptmlr.archives.processing import Summary, process
from promptmlr.archives.sources import Shard, find_shards, is_archive, share

__all__ = [
    "Encoder",
    "Job",
    "LabelTable",
    "Manifest",
    "Predictor",
    "Shard",
    "Summary",
    "find_shards",
    "is_archive",
    "process",
    "process_shard",
    "share",
]

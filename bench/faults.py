"""The fault campaign: what kills, a full disk, damaged files and a second process do to the commands. Must be: nothing.

    python bench/faults.py --kills 1000 --fuzz 10000

Commands are forked from a process that has imported everything, in small folders of their own. They are ended by
SIGKILL, SIGTERM and SIGINT at moments drawn uniformly over the time they take, gone on with, and compared with what
undisturbed ones leave; they meet a full disk (where this user may mount one), no free file descriptor, and themselves
as a second process; and they are given damaged images, label files, run folders, checkpoints, stores, shards and more.

Counted is what may never happen: something lost (that was there, was acknowledged, or cannot be gone on with),
different (from undisturbed work, or half-made under its final name), hung, or ended by a traceback. The exit code is 1
if there is any. Each such case is printed with the command that repeats it.

With `--record FILE` every case is written down as it ends. Repeat the command to go on after an interruption.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

from faulting.campaign import FAULTS, Campaign, note
from faulting.process import prepare
from faulting.record import FUZZ, KILL, RAY, Record, tables
from faulting.verdict import Bench
from faulting.world import World


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="signals that hit a command at work")
    parser.add_argument("--ray", type=int, default=20, help="the same of drivers and workers of Ray; each takes long")
    parser.add_argument("--others", type=int, default=100, help="each of: a full disk, no files, two at once")
    parser.add_argument("--fuzz", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--only", action="append", metavar="NAME", help="a command or input, by the start of its name")
    parser.add_argument("--case", metavar="FAULT/NAME/NUMBER", help="try this case alone")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another every time)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at once")
    parser.add_argument("--world", type=Path, help="keep what is damaged in this folder, and take it from there again")
    parser.add_argument("--keep", type=Path, help="keep the folders of cases with findings below this one")
    parser.add_argument("--record", type=Path, help="a line for each case; what is there already is not tried again")
    parser.add_argument("--page", type=Path, help="also put the tables into this page, between its two marks")
    return parser.parse_args()


def main() -> None:
    asked = _asked()
    record = Record(asked.record)
    seeds = (asked.seed, record.seed, Random().randrange(10**6))
    seed = next(one for one in seeds if one is not None)
    place = Path(tempfile.mkdtemp(prefix="faults-"))  # short: Ray makes sockets below it
    try:
        prepare()
        campaign = Campaign(Bench(World(asked.world or place / "world"), asked.keep), place, seed, asked.jobs, record)
        note(f"seed {seed}; running every command undisturbed")
        if asked.case:
            fault, name, number = asked.case.split("/")
            campaign.measure([name])
            record.add(campaign.one(fault, name, int(number)))
        else:
            _try_all(campaign, asked)
    except KeyboardInterrupt:
        note("interrupted" if asked.record is None else f"interrupted; the same command goes on with {asked.record}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(tables(record.tried))
    if asked.page is not None:
        record.fill(asked.page)
    sys.exit(any(one.found for one in record.tried))


def _try_all(campaign: Campaign, asked: argparse.Namespace) -> None:
    wanted = dict.fromkeys(FAULTS, asked.others) | {KILL: asked.kills, RAY: asked.ray, FUZZ: asked.fuzz}
    chosen = {
        fault: [name for name in names if any(name.startswith(start) for start in asked.only or [""])]
        for fault, names in FAULTS.items()
        if wanted[fault]
    }
    campaign.measure(list(dict.fromkeys(name for names in chosen.values() for name in names)))
    for fault, names in chosen.items():
        if names:
            campaign.all(fault, names, wanted[fault])


if __name__ == "__main__":
    main()

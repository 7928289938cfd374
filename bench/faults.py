"""The fault campaign: what kills, a full disk, damaged files and a second process do to the commands. Must be: nothing.

    python bench/faults.py --kills 1000 --fuzz 10000

Commands are forked from a process that has imported everything, in small folders of their own. They are ended by
SIGKILL, SIGTERM and SIGINT at moments drawn uniformly over the time they take, gone on with, and compared with what
undisturbed ones leave; they meet a full disk (where this user may mount one), no free file descriptor, and themselves
as a second process; and they are given damaged images, label files, run folders, checkpoints, stores and more.

Counted is what may never happen: something lost (that was there, was acknowledged, or cannot be gone on with),
different (from undisturbed work, or half-made under its final name), hung, or ended by a traceback. The exit code is 1
if there is any. Each such case is printed with the command that repeats it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from faulting.campaign import NAMED, Campaign, is_input, note
from faulting.disturbances import DISTURBANCES
from faulting.process import prepare
from faulting.record import FUZZ, KILL, tables
from faulting.verdict import Bench
from faulting.world import World


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="signals that hit a command at work")
    parser.add_argument("--fuzz", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--others", type=int, default=200, help="each of: " + ", ".join(list(DISTURBANCES)[1:]))
    parser.add_argument("--only", action="append", metavar="NAME", help="a command or input, by the start of its name")
    parser.add_argument("--case", metavar="FAULT/NAME/NUMBER", help="try this case alone")
    parser.add_argument("--seed", type=int, default=None, help="of all that is random (default: another every time)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cases at once")
    parser.add_argument("--world", type=Path, help="keep what is damaged in this folder, and take it from there again")
    parser.add_argument("--json", type=Path, help="also write what was found to this file")
    return parser.parse_args()


def main() -> None:
    asked = _asked()
    seed = Random().randrange(10**6) if asked.seed is None else asked.seed
    fault, name, number = asked.case.split("/") if asked.case else ("", "", "0")
    wanted = dict.fromkeys(DISTURBANCES, asked.others) | {KILL: asked.kills, FUZZ: asked.fuzz}
    begin = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="promptmlr-faults-"))
    try:
        prepare()
        note(f"seed {seed}; running every command undisturbed")
        campaign = Campaign(Bench(World(asked.world or place / "world")), place, seed, asked.jobs)
        chosen = [one for one in NAMED if any(one.startswith(start) for start in asked.only or [name])]
        campaign.measure(
            [name] if name else [one for one in chosen if (asked.fuzz if is_input(one) else asked.kills + asked.others)]
        )
        if asked.case:
            campaign.one(fault, name, int(number))
        else:
            for one, count_of_it in wanted.items():
                names = [name for name in chosen if is_input(name) == (one == FUZZ)]
                if names and count_of_it:
                    campaign.all(one, names, count_of_it)
        record = campaign.record(time.monotonic() - begin)
        print(f"seed {seed}, {record['seconds']:,} s\n\n{tables(record)}")
        if asked.json is not None:
            asked.json.write_text(json.dumps(record, indent=1) + "\n")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(bool(campaign.found))


if __name__ == "__main__":
    main()

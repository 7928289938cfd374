"""Whether several sentences for a class make a better start than one: zero-shot, and `anchored` on some labels.

python bench/templates.py --worlds scenes,scenes:crowded:1,scenes:grainy:3 --labels 0,400,4000 --seeds 2

Rows: the command line's templates, and texts in words that the miniature CLIP was trained on.
"""

import argparse

import numpy as np

from promptmlr.backbone import load_backbone
from promptmlr.data import load_data
from promptmlr.evaluation import evaluate, paired_difference
from promptmlr.labels import Observation, hide
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.prior.fitting import begin_run
from promptmlr.recipes import load_recipe
from promptmlr.regions import FreshRegions, extract
from promptmlr.report.tables import markdown_table, signed
from promptmlr.scenes.captions import plural
from promptmlr.training import fit_runs

OWN_WORDS = ("a photo of {}.", "a picture of {}.", "an image of {}", "a drawing of {}", "this is {}.", "there is {}")


def own_words(name):
    return [text.format(word) for text in OWN_WORDS for word in (f"a {name}", f"the {name}", plural(name))]


def said(backbone, train, regions, test_regions, labels, seed, ensemble):
    """(N, C) margins on the test images: zero-shot without labels, else anchored on so many."""
    recipe = load_recipe("default", "anchored" if labels else "zeroshot", **ensemble)
    method = "anchored" if labels else "zeroshot"
    recognizer = create_recognizer(method, backbone, train.class_names, seed=seed, **recipe.start_options())
    if labels:
        seen = hide(train.labels, Observation("labels", labels).keep(train.labels, seed))
        fit_runs([begin_run(recognizer, regions, seen, recipe, seed=seed).run], regions)
    return predict_margins(recognizer, test_regions)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="scenes,scenes:crowded:1,scenes:grainy:3")
    parser.add_argument("--labels", default="0")
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    backbone, rows = load_backbone("scenes"), []
    for world in asked.worlds.split(","):
        train, test = (load_data(world, purpose=purpose) for purpose in ("train", "test"))
        (_, regions), (_, test_regions) = (extract(FreshRegions(backbone, data.images)) for data in (train, test))
        texts = {name: own_words(name) for name in train.class_names}
        ways = {name: {"templates": name} for name in ("one", "simple", "imagenet")} | {"texts": {"texts": texts}}
        for labels in map(int, asked.labels.split(",")):
            seeds = range(asked.seeds if labels else 1)
            one = None
            for way, ensemble in ways.items():
                found = [said(backbone, train, regions, test_regions, labels, seed, ensemble) for seed in seeds]
                one = one or found
                scores = [evaluate(each, test.labels, test.class_names, threshold=0.0, resamples=0) for each in found]
                pairs = zip(found, one, strict=True)
                gains = [paired_difference(*pair, test.labels, resamples=200) for pair in pairs]
                mean = np.mean([(100 * gain.mean, 100 * gain.low, 100 * gain.high) for gain in gains], axis=0)
                gain = "" if way == "one" else "{} ({} to {})".format(*map(signed, mean))
                rows.append((world, way, f"{labels:,}", f"{100 * np.mean([one.mean_ap for one in scores]):.1f}", gain))
    print(markdown_table(("world", "sentences", "labels", "mAP %", "difference to one"), rows, 2))


if __name__ == "__main__":
    main()

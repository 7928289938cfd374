"""Whether several sentences for a class make a better zero-shot than one.

python bench/templates.py --worlds scenes,scenes:crowded:1,scenes:grainy:3

Rows: the command line's templates, and texts in words that the miniature CLIP was trained on.
"""

import argparse

from promptmlr.backbone import class_sentences, load_backbone
from promptmlr.data import load_data
from promptmlr.evaluation import evaluate, paired_difference
from promptmlr.experiments.tables import markdown_table, percent_interval, signed
from promptmlr.methods import create_recognizer
from promptmlr.prediction import predict_margins
from promptmlr.regions import FreshRegions, extract
from promptmlr.scenes.captions import plural

OWN_WORDS = ("a photo of {}.", "a picture of {}.", "an image of {}", "a drawing of {}", "this is {}.", "there is {}")


def own_words(name):
    return [text.format(word) for text in OWN_WORDS for word in (f"a {name}", f"the {name}", plural(name))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="scenes,scenes:crowded:1,scenes:grainy:3")
    asked = parser.parse_args()
    backbone, rows = load_backbone("scenes"), []
    for world in asked.worlds.split(","):
        test = load_data(world, purpose="test")
        _, source = extract(FreshRegions(backbone, test.images))
        names, one = test.class_names, None
        texts = {name: own_words(name) for name in names}
        ways = {name: {"templates": name} for name in ("one", "simple", "imagenet")} | {"texts": {"texts": texts}}
        for way, options in ways.items():
            _, margins = predict_margins(create_recognizer("zeroshot", backbone, names, **options), source)
            one = margins if one is None else one
            score = evaluate(margins, test.labels, names, threshold=0.0)
            gain = paired_difference(margins, one, test.labels)
            mean, low, high = (signed(100 * value) for value in (gain.mean, gain.low, gain.high))
            count = str(len(class_sentences(names[:1], **options)[0]) if way != "texts" else len(texts[names[0]]))
            difference = "" if way == "one" else f"{mean} ({low} to {high})"
            rows.append((world, way, count, percent_interval(score.mean_ap, *score.mean_ap_interval), difference))
    head = ("world", "sentences", "per class", "mAP % (95 % interval)", "difference to one")
    print(markdown_table(head, rows, 2))


if __name__ == "__main__":
    main()

"""The scores in the model card of the miniature CLIPs: python bench/scenes_card.py [--checkpoint scenes-vit]

Zero-shot mAP on 2,000 scenes of seed 2, which no pretraining saw: as drawn and as photographed, ranked by the presence
logit alone and by the pair (presence against the absence "a photo."), beside class prevalence.
"""

import argparse

import numpy as np
import torch
from PIL import Image

from promptmlr.backbone import Backbone, load_backbone
from promptmlr.evaluation import average_precision
from promptmlr.functional import presence_probability
from promptmlr.methods import create_recognizer
from promptmlr.scenes import CLASS_NAMES, draw_scene, photograph

SEED, SCENES, BATCH = 2, 2000, 100


@torch.no_grad()
def logits(backbone: Backbone, images: list[np.ndarray]) -> torch.Tensor:
    recognizer = create_recognizer("zeroshot", backbone, CLASS_NAMES)
    seen = [backbone.preprocessing.pixels(Image.fromarray(image)) for image in images]
    pixels = backbone.preprocessing.normalise(torch.stack(seen))
    return torch.cat([recognizer(backbone.encode_image(batch)) for batch in pixels.split(BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="scenes")
    backbone = load_backbone(parser.parse_args().checkpoint)
    scenes = [draw_scene(SEED, index) for index in range(SCENES)]
    labels = np.stack([scene.labels for scene in scenes])
    looks = {
        "drawn": [scene.image for scene in scenes],
        "photographed": [photograph(scene.image, SEED, index) for index, scene in enumerate(scenes)],
    }
    columns = {"prevalence": 100 * labels.mean(0)}
    for look, images in looks.items():
        pair = logits(backbone, images)
        for name, scores in (("presence", pair[:, 1]), ("pair", presence_probability(pair))):
            columns[f"{look}, {name}"] = 100 * np.array(
                [average_precision(scores[:, c], labels[:, c]) for c in range(labels.shape[1])]
            )
    print("| class | " + " | ".join(columns) + " |\n|" + "---|" * (1 + len(columns)))
    rows = {"**mean**": np.mean(list(columns.values()), axis=1)}
    rows |= dict(zip(CLASS_NAMES, np.stack(list(columns.values()), axis=1), strict=True))
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()

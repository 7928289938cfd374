"""The log odds that a tower trained with a sigmoid loss (SigLIP) has of its own: whether a text belongs to an image.

Its log odds are scale · cos + bias of an image's own feature and a text, both numbers learned with the towers (Zhai et
al., ICCV 2023). A softmax loss (CLIP) leaves the level open, and has no such bias.
"""

import numpy as np
import torch

from promptmlr.recognizer import Recognizer
from promptmlr.regions import RegionSource, index_batches

__all__ = ["own_share"]

LEAST, MOST = 1e-3, 0.5  # its pairs were captions and their photos, which are rarer than classes


@torch.no_grad()
def own_share(recognizer: Recognizer, source: RegionSource, batch_size: int = 128) -> float | None:
    """How often classes are present by the tower's own odds; None where it has none.

    Args:
        recognizer: its presence side at the texts of the classes.
        source: regions of N images; region 0 is the image's own feature.
        batch_size: images at once.

    Returns:
        The mean probability over images and classes, between `LEAST` and `MOST`.
    """
    if recognizer.pair_score is None:
        return None
    scale, bias = recognizer.pair_score
    found = []
    for _, regions in source.batches(index_batches(len(source), batch_size)):
        similarity, _ = recognizer.maps(regions[:, :1])  # S = 20 · cos
        found.append(torch.sigmoid(scale * similarity[..., 0] / 20 + bias).mean(dim=1).cpu().double().numpy())
    return float(np.clip(np.concatenate(found).mean(), LEAST, MOST)) if found else None

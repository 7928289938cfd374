"""`promptmlr cut-out`: objects out of photographs, for scenes made of them."""

from pathlib import Path

from promptmlr.cli.options import NonNegativeInt

__all__ = ["cut_out"]


def cut_out(photos: Path, /, *, out: Path, seed: NonNegativeInt = 0) -> None:
    """Cut objects and backgrounds out of photographs, for scenes that are pasted together from them.

    Objects come from photographs for training or from others for testing, never from both. Photographs whose licence
    forbids changes or commercial use are left out; OUT/attribution.csv names the photograph, licence and address of
    every cut-out.

    Args:
        photos: A COCO folder: annotations/instances_*.json with outlines, and the images.
        out: A new folder. Use it as data with cutouts:OUT, and with pretrain-scenes --cutouts OUT.
        seed: Which photographs are for testing.
    """
    from promptmlr.cli.progress import Terminal, note
    from promptmlr.paper.cutouts.folder import cut_out as cut_out_of

    cut_out_of(photos, out, Terminal(), seed)
    note(f"{out}; next: promptmlr pretrain-scenes --cutouts {out} --out {out}.safetensors")

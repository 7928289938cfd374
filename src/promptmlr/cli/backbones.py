"""`promptmlr backbones`: every tower that has regions."""

__all__ = ["backbones"]


def backbones() -> None:
    """List the backbones: width, image size, regions, pretrained tags; and those refused, with the reason.

    Downloads nothing.
    """
    from promptmlr.backbone import MINIATURES, catalogue, load_backbone, refused

    rows = [("backbone", "width", "pixels", "regions", "at 448 px", "pretrained")]
    for small in map(load_backbone, MINIATURES):
        sizes = (str(small.feature_width), str(small.image_size), str(small.regions), "")
        rows.append((small.name, *sizes, "comes with promptmlr"))
    for entry in catalogue():
        extra = "" if entry.missing_extra is None else f" (needs promptmlr[{entry.missing_extra}])"
        larger = "" if 448 % entry.patch else str(entry.regions(448))
        sizes = (str(entry.feature_width), str(entry.image_size), str(entry.regions(entry.image_size)), larger)
        rows.append((entry.name, *sizes, ", ".join(entry.tags) + extra))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]))
    for name, reason in refused():
        print(f"{name}: no regions, because {reason}")
    print(
        "\nand hf-hub:owner/name or local-dir:FOLDER, as open_clip spells them, with an open_clip_config.json; to list "
        "these nothing is downloaded"
    )

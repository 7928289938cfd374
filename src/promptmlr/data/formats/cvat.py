"""CVAT's own XML, "CVAT for images 1.1": tags, and shapes of any kind, say that a label is present.

The labels of the task or project, in `meta`, are the classes; `subset` of an image is its split (the format is
described at https://docs.cvat.ai/docs/other/xml_format). There is no place for absent labels: `--unlisted` says what
silence means. CVAT's exports to COCO leave tags out (cvat issue 6368); this one has them.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from promptmlr.data.finding import ImageFinder
from promptmlr.data.formats.base import Changes, Format, Source, Writer, spaced
from promptmlr.data.options import DataOptions
from promptmlr.data.output import Output
from promptmlr.data.rows import LabelledRows, ListedRows, Names
from promptmlr.errors import UserError
from promptmlr.labels import PRESENT

__all__ = ["FORMAT", "read_cvat", "write_cvat"]

_FILE = "annotations.xml"


def read_cvat(path: Path, images: Path | None, options: DataOptions) -> LabelledRows:
    """Read the images of a task, a project or a job.

    Args:
        path: the file, or a folder with `annotations.xml` in it, as CVAT exports it.
        images: the folder of the images, by default that of the file; found anywhere below it.
        options: `unlisted`.

    Raises:
        UserError: the file is damaged or of a video, a label is none of the task's, or silence is unclear.
    """
    folder = path if path.is_dir() else path.parent
    path = path / _FILE if path.is_dir() else path
    classes: list[str] = []
    found: list[tuple[str, str | None, Names]] = []
    for element in _elements(path):
        if element.tag == "meta":
            classes = [name for label in element.iter("label") if (name := label.findtext("name", "").strip())]
        elif element.tag == "track":
            raise UserError(f"{path}: tracks of a video; export it as `CVAT for images 1.1`")
        elif element.tag == "image":
            present = [child.get("label", "").strip() for child in element if child.get("label")]
            found.append((element.get("name", ""), element.get("subset"), Names(present)))
    image_ids = [name for name, _, _ in found]
    finder = ImageFinder(images or folder)
    splits = [subset for _, subset, _ in found if subset]

    def where(row: int) -> str:
        return f"{path}, image {image_ids[row]!r}"

    return ListedRows(
        [names for _, _, names in found],
        image_ids,
        [finder.find(name, where(row)) for row, name in enumerate(image_ids)],
        splits=splits if len(splits) == len(found) else None,
        kind="CVAT",
        path=path,
        where=where,
        class_names=classes or None,
        without_splits="no subset of every image",
    ).labelled(options)


def write_cvat(output: Output) -> list[str]:
    """Write a task whose images have a tag for each present class; splits are subsets."""
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    task = ET.SubElement(ET.SubElement(root, "meta"), "task")
    ET.SubElement(task, "size").text = str(len(output.entries))
    labels = ET.SubElement(task, "labels")
    for name in output.class_names:
        ET.SubElement(ET.SubElement(labels, "label"), "name").text = name
    for number, entry in enumerate(output.entries):
        width, height = entry.image.open().size
        name = (
            entry.name if output.root is None else entry.name.removeprefix("images/")
        )  # where CVAT's exports have them
        said = {"id": str(number), "name": name, "width": str(width), "height": str(height)}
        image = ET.SubElement(root, "image", said | ({"subset": entry.split} if output.has_splits else {}))
        for label in output.names(entry.labels, PRESENT):
            ET.SubElement(image, "tag", {"label": label, "source": "manual"})
    ET.indent(root)
    with output.file(_FILE, "wb") as file:
        file.write(ET.tostring(root, encoding="utf-8", xml_declaration=True))
    return []


def amend_cvat(path: Path, changes: Changes, _options: DataOptions) -> bytes:
    """The same file with a tag for each class that is present, and none for one that is not; shapes stay."""
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True, insert_pis=True))
    root = ET.parse(path, parser).getroot()
    names = [label.findtext("name", "").strip() for label in root.iterfind("./meta//label")]
    written = {spaced(name): name for name in names}
    for image, changed in zip(root.iterfind("image"), changes, strict=True):
        for name, code in changed.items():
            label = written.get(name, name)
            if code == PRESENT:
                ET.SubElement(image, "tag", {"label": label, "source": "manual"}).tail = image.tail
            else:
                for tag in [one for one in image.iterfind("tag") if one.get("label") == label]:
                    image.remove(tag)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _elements(path: Path) -> Iterator[ET.Element]:
    """The elements right below the outermost one, each forgotten once it was used."""
    try:
        events = ET.iterparse(path, events=("start", "end"))
        depth, root = 0, None
        for event, element in events:
            depth += 1 if event == "start" else -1
            if root is None:
                root = element
                if root.tag != "annotations":
                    raise UserError(f"{path}: its outermost tag is {root.tag!r}, not 'annotations' as CVAT writes it")
            if event == "end" and depth == 1:
                yield element
                root.clear()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ET.ParseError, LookupError, ValueError) as error:
        raise UserError(f"{path}: damaged XML ({error}); export it again") from error


def _recognised(source: Source) -> bool:
    if source.path.is_dir():
        return _recognised(Source(str(source.path / _FILE)))
    return source.suffix == ".xml" and any("<annotations" in line for line in source.start)


FORMAT = Format(
    "cvat",
    "CVAT's annotations.xml, `CVAT for images 1.1`",
    _recognised,
    read_cvat,
    amend=amend_cvat,
    writer=Writer(write_cvat, ".xml", lists=True),
)

"""Layouts of public data sets and of people's spreadsheets: read, or refused with commands each of which reads them."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from promptmlr.cli import app
from promptmlr.data import DataOptions, load_data
from promptmlr.options.data import Unclear


@dataclass(frozen=True)
class Layout:
    """Files, and how they are read.

    Attributes:
        name: of the test.
        text: of the file `data`.
        data: what is named; "" for the folder.
        commands: how many are proposed; 0 where it is read as it is.
        first: image → its known labels, as the first command reads it.
        images: all image files.
        files: other files.
        encoding: of the text.
        but: words of a command that are not among those proposed.
    """

    name: str
    text: str
    data: str
    commands: int
    first: Mapping[str, Mapping[str, int]]
    images: Sequence[str] = ("a.jpg", "b.jpg", "c.jpg")
    files: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    words: Sequence[str] = ()

    def make(self, folder: Path) -> Path:
        for name in self.images:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (2, 2)).save(folder / name)
        for name, text in {**self.files, **({self.data: self.text} if self.data else {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text.encode(self.encoding))
        return folder / self.data


DOG_CAT = {"a.jpg": {"dog": 1, "cat": 0}, "b.jpg": {"dog": 0, "cat": 1}}
ONLY = {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"dog": 1}}  # lists, of which silence is unknown
ISIC = "isic_id,attribution,age_approx,benign_malignant,diagnosis_1,melanocytic,sex\n" + "".join(
    f"ISIC_{i},Anon,{40 + 5 * i},{kind.lower()},{kind},{'TRUE' if i % 2 else ''},female\n"
    for i, kind in enumerate(("Benign", "Malignant", "Benign", "Malignant"))
)
INATURALIST = "id,observed_on,url,image_url,quality_grade,common_name,iconic_taxon_name,latitude\n" + "".join(
    f"{i},2024-01-0{i + 1},https://www.inaturalist.org/observations/{i},"
    f"https://s3.amazonaws.com/photos/{i}/medium.jpg?15{i},research,{name},Aves,4{i}.5\n"
    for i, name in enumerate(("American Robin", "Blackbird", "American Robin", "Blackbird"))
)
PADCHEST = "ImageID,ImageDir,StudyID,Report,Labels\n" + "".join(
    f"{i}.png,{14 + i},12{i},text,\"['{name}', 'pleural effusion']\"\n" for i, name in enumerate(("normal", "nodule"))
)
VIA = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n" + "".join(
    f'{image}.jpg,10,"{{}}",2,0,"{{""name"":""rect""}}","{{""type"":""{name}""}}"\n'
    for image, name in (("a", "dog"), ("a", "cat"), ("b", "dog"))
)
OPENED = {"a.jpg": {"dog": 1, "cat": 1}, "b.jpg": {"dog": 1}}

LAYOUTS = [
    Layout("title", "Zoo 2024,,\nimage,dog,cat\na.jpg,1,0\nb.jpg,0,1\n", "labels.csv", 0, DOG_CAT),
    Layout("other title", "Zoo, version 2\n\nimage;dog;cat\na.jpg;1;0\nb.jpg;0;1\n", "labels.csv", 0, DOG_CAT),
    Layout("comments", "# by Anna, 2024\n# v2\nimage,dog,cat\na.jpg,1,0\nb.jpg,0,1\n", "labels.csv", 0, DOG_CAT),
    Layout("groups", ",Animals,\nimage,dog,cat\na.jpg,1,0\nb.jpg,0,1\n", "labels.csv", 0, DOG_CAT),
    Layout("bars", "image|dog|cat\na.jpg|1|0\nb.jpg|0|1\n", "labels.csv", 0, DOG_CAT),
    Layout("trailing commas", "image,dog,cat\na.jpg,1,0,\nb.jpg,0,1,\n", "labels.csv", 0, DOG_CAT),
    Layout("totals", "image,dog,cat\na.jpg,1,0\nb.jpg,0,1\n,1,1\n", "labels.csv", 1, DOG_CAT),
    Layout("named totals", "image,dog,cat\na.jpg,1,0\nb.jpg,0,1\nTotal,1,1\n", "labels.csv", 1, DOG_CAT),
    Layout("boxes", "image,dog,cat\na.jpg,☑,☐\nb.jpg,☐,☑\n", "labels.csv", 1, DOG_CAT),
    Layout("crosses and rings", "image,dog,cat\na.jpg,x,o\nb.jpg,o,x\n", "labels.csv", 2, DOG_CAT),
    Layout(
        *("German Excel", "Bild;dog;cat;Notiz\na.jpg;ja;nein;schön\nb.jpg;nein;ja;\n", "Tabelle.csv", 1, DOG_CAT),
        encoding="cp1252",
        words=("--encoding windows-1252", "--image-column Bild"),
    ),
    Layout("UTF-16", "image,dog,cat\na.jpg,1,0\nb.jpg,0,1\n", "labels.csv", 1, DOG_CAT, encoding="utf-16-le"),
    Layout(
        *("no header", "a.jpg,1,0\nb.jpg,0,1\n", "labels.csv", 1),
        {"a.jpg": {"class-1": 1, "class-2": 0}, "b.jpg": {"class-1": 0, "class-2": 1}},
    ),
    Layout("no header, lists", "a.jpg,dog\nb.jpg,dog\na.jpg,cat\n", "labels.csv", 2, ONLY),
    Layout("text file", "a.jpg dog\nb.jpg dog\na.jpg cat\n", "train.txt", 2, ONLY),
    Layout("names of columns after #", "# file dog cat\na.jpg 1 0\nb.jpg 0 1\n", "labels.txt", 0, DOG_CAT),
    Layout(
        *("detection", "filename,width,class,xmin\na.jpg,640,dog,1\na.jpg,640,cat,5\nb.jpg,640,dog,3\n", "d.csv", 2),
        ONLY,
        words=("--label-column class",),
    ),
    Layout(
        *("numbers of classes", "ImageId,ClassId,EncodedPixels\na.jpg,1,1 2 3\na.jpg,3,4 5\nb.jpg,3,9 1\n", "t.csv", 2),
        {"a.jpg": {"1": 1, "3": 1}, "b.jpg": {"3": 1}},
    ),
    Layout("columns of one list", "image,label1,label2\na.jpg,dog,cat\nb.jpg,dog,\n", "labels.csv", 2, ONLY),
    Layout("pandas' index", "Unnamed: 0,image,dog,cat\n0,a.jpg,1,0\n1,b.jpg,0,1\n", "labels.csv", 0, DOG_CAT),
    Layout("one class", "image,age,label\na.jpg,43,1\nb.jpg,51,0\n", "l.csv", 1,
           {"a.jpg": {"label": 1}, "b.jpg": {"label": 0}}),
    Layout("annotators", "image,label,annotator\na.jpg,dog,anna\na.jpg,cat,bob\nb.jpg,dog,anna\n", "l.csv", 2, ONLY),
    Layout(
        *("annotators of cells", "by,image,dog,cat\nanna,a.jpg,1,1\nbob,a.jpg,1,0\nanna,b.jpg,0,1\n", "l.csv", 2),
        {"a.jpg": {"dog": 1}, "b.jpg": {"dog": 0, "cat": 1}},
        words=("--several agree", "--several majority"),
    ),
    Layout(
        *("annotators of values", "image,label,value,by\na.jpg,dog,1,x\na.jpg,dog,0,y\nb.jpg,dog,1,x\n", "l.csv", 2),
        {"a.jpg": {}, "b.jpg": {"dog": 1}},
    ),
    Layout(
        *("RSNA", "patientId,x,y,Target\na,,,0\nb,264.0,152.0,1\nb,562.0,152.0,1\nc,,,0\n", "stage_2.csv", 1),
        {"a": {"Target": 0}, "b": {"Target": 1}, "c": {"Target": 0}},
    ),
    Layout(
        *("ISIC", ISIC, "metadata.csv", 3, {f"ISIC_{i}": {("Benign", "Malignant")[i % 2]: 1} for i in range(4)}),
        [f"ISIC_{i}.jpg" for i in range(4)],
        words=("--label-column diagnosis_1",),
    ),
    Layout(
        *("iNaturalist", INATURALIST, "observations.csv", 2),
        {
            f"https://s3.amazonaws.com/photos/{i}/medium.jpg?15{i}": {("American Robin", "Blackbird")[i % 2]: 1}
            for i in range(4)
        },
        [f"photos/{i}/medium.jpg" for i in range(4)],
        words=("--image-column image_url --label-column common_name",),
    ),
    Layout(
        *("PadChest", PADCHEST, "padchest.csv", 2),
        {"0.png": {"normal": 1, "pleural effusion": 1}, "1.png": {"nodule": 1, "pleural effusion": 1}},
        ("0/0.png", "1/1.png"),
    ),
    Layout(
        *("Human Protein Atlas", "ID,Label\na,8|5|0\nb,14|0\n", "train.csv", 2),
        {"a": {"0": 1, "5": 1, "8": 1}, "b": {"0": 1, "14": 1}},
    ),
    Layout(
        *("Planet", "image_name,tags\na,haze primary\nb,clear primary\n", "train_v2.csv", 4),
        {"a": {"haze": 1, "primary": 1}, "b": {"clear": 1, "primary": 1}},
    ),
    Layout(
        *("Google Forms", 'When,Image,"What is there?"\n1/1 10:00,a.jpg,"dog, cat"\n1/1 11:00,b.jpg,dog\n', "r.csv"),
        *(2, ONLY),
    ),
    Layout("JSON list", '[{"image": "a.jpg", "labels": ["dog", "cat"]}, {"image": "b.jpg", "labels": ["dog"]}]',
           "labels.json", 2, ONLY),
    Layout("JSON list with more", '[{"id": 7, "image": "a.jpg", "w": 9, "labels": ["dog", "cat"]},'
           ' {"id": 8, "image": "b.jpg", "w": 9, "labels": ["dog"]}]', "labels.json", 2, ONLY),
    Layout("JSONL", '{"image": "a.jpg", "labels": ["dog", "cat"]}\n{"image": "b.jpg", "labels": ["dog"]}\n',
           "labels.jsonl", 2, ONLY),
    Layout("JSON by image", '{"a.jpg": ["dog", "cat"], "b.jpg": "dog"}', "labels.json", 2, ONLY),
    Layout("JSON of codes", '[{"image": "a.jpg", "labels": {"dog": 1, "cat": 0}},'
           ' {"image": "b.jpg", "labels": {"dog": false, "cat": true}}]', "labels.json", 0, DOG_CAT),
    Layout(
        "iMaterialist",
        json.dumps({
            "images": [{"imageId": "1", "url": "http://x/a.jpg"}, {"imageId": "2", "url": "http://x/b.jpg"}],
            "annotations": [{"imageId": "1", "labelId": ["62", "17"]}, {"imageId": "2", "labelId": ["62"]}],
        }),
        *("train.json", 2, {"http://x/a.jpg": {"17": 1, "62": 1}, "http://x/b.jpg": {"62": 1}}),
    ),
    Layout("VIA", VIA, "via_region_data.csv", 2, OPENED),
    Layout(
        "a folder with other metadata", "", "", 2, ONLY,
        files={"labels.json": '{"a.jpg": ["dog", "cat"], "b.jpg": ["dog"]}', "metadata.csv": "key,value\nversion,2\n"},
        words=("labels.json",),
    ),
    Layout(
        "LabelMe", "", "", 2, ONLY,
        files={
            "a.json": '{"imagePath": "a.jpg", "shapes": [{"label": "dog"}, {"label": "cat"}], "flags": {}}',
            "b.json": '{"imagePath": "b.jpg", "shapes": [{"label": "dog"}], "flags": {}}',
        },
    ),
    Layout(
        "DeepFashion", "2\nimage_name  attribute_labels\nimg/a.jpg   1 -1 0\nimg/b.jpg  -1  1 1\n",
        *("Anno/list_attr_img.txt", 0),
        {"img/a.jpg": {"abstract": 1, "a-line dress": 0}, "img/b.jpg": {"abstract": 0, "a-line dress": 1, "acid": 1}},
        ("img/a.jpg", "img/b.jpg"),
        {"Anno/list_attr_cloth.txt": "3\nattribute_name  attribute_type\nabstract   1\na-line dress   3\nacid  2\n"},
    ),
    Layout(
        "AWA2", "", "", 0,
        {"bat/1.jpg": {"black": 0, "has wings": 1}, "ox/1.jpg": {"black": 1, "has wings": 0}},
        ("JPEGImages/ox/1.jpg", "JPEGImages/bat/1.jpg"),
        {
            "classes.txt": "  1\tox\n  2\tbat\n",
            "predicates.txt": " 1\tblack\n 2\thas wings\n",
            "predicate-matrix-binary.txt": "1 0\n0 1\n",
        },
    ),
    Layout(
        "CUB", "", "", 0,
        {"A/1.jpg": {"bill curved": 1}, "B/1.jpg": {"bill curved": 0, "wing blue": 1}},
        ("images/A/1.jpg", "images/B/1.jpg"),
        {
            "images.txt": "1 A/1.jpg\n2 B/1.jpg\n",
            "attributes/image_attribute_labels.txt": "1 1 1 3 1.2\n1 2 0 1 3.4\n2 1 0 4 1.0\n2 2 1 3 2.0\n",
            "attributes/attributes.txt": "1 bill::curved\n2 wing::blue\n",
        },
    ),
    Layout(
        "folders of classes", "", "", 2, {"train/cat/a.jpg": {"cat": 1}, "train/dog/b.jpg": {"dog": 1}},
        ("train/cat/a.jpg", "train/dog/b.jpg", "test/dog/c.jpg"),
    ),
    Layout(
        "MIRFLICKR", "", "", 2, {"im1.jpg": {"dog": 1}, "im2.jpg": {"sky": 1}, "im3.jpg": {"dog": 1, "sky": 1}},
        ("im1.jpg", "im2.jpg", "im3.jpg"),
        {"annotations/dog.txt": "1\n3\n", "annotations/sky.txt": "2\n3\n"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.name)
def test_a_layout_is_read_or_refused_with_commands_that_read_it(promptmlr: Callable, tmp_path: Path, layout: Layout):
    data = layout.make(tmp_path)
    done = promptmlr("inspect", data, "--labels-only")
    commands = proposed(done.err)
    assert (len(commands), done.code) == (layout.commands, 2 if layout.commands else 0), done.err
    assert all(word in done.err for word in layout.words), done.err
    for command in commands:
        again = promptmlr(*command[1:])
        assert again.code == 0, (command, again.err)
    words = commands[0] if commands else ["promptmlr", "inspect", str(data), "--labels-only"]
    assert labels_as(words) == layout.first


def proposed(err: str) -> list[list[str]]:
    """The commands of an error."""
    if "read it with: " in err:
        return [shlex.split(err.partition("read it with: ")[2])]
    return [shlex.split(line.partition("  # if ")[0]) for line in err.splitlines() if line.startswith("  promptmlr")]


def labels_as(words: Sequence[str]) -> dict[str, dict[str, int]]:
    """What `inspect` with these words reads: image → class → label, of what is known."""
    _, bound, _ = app.parse_args(list(words[1:]))
    data, reading = bound.arguments["data"], bound.arguments.get("reading", DataOptions())
    loaded = load_data(data, options=reading)
    return {
        image_id: {name: int(code) for name, code in zip(loaded.class_names, row, strict=True) if code != -1}
        for image_id, row in zip(loaded.image_ids, loaded.labels, strict=True)
    }


def test_captions_are_refused(promptmlr: Callable, tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "a dog"}]}
    (tmp_path / "captions_val2017.json").write_text(json.dumps(content))
    done = promptmlr("inspect", tmp_path / "captions_val2017.json")
    assert (done.code, "captions and no categories" in done.err) == (2, True)


def test_a_run_reads_its_classes_alone(promptmlr: Callable, photos: Path, run: Path) -> None:
    lines = (photos / "labels.csv").read_text().splitlines()
    more = [lines[0] + ",comment,zebra", *(f"{line},seen {number} times,1" for number, line in enumerate(lines[1:]))]
    (photos / "more.csv").write_text("\n".join(more))
    plain = promptmlr("evaluate", run, photos / "labels.csv", "--out", photos / "1.json")
    done = promptmlr("evaluate", run, photos / "more.csv", "--out", photos / "2.json")
    assert (done.code, done.out) == (0, plain.out), done.err
    assert "no classes of the run, so not read: comment, zebra" in done.err
    assert promptmlr("suggest", run, photos / "more.csv", "--out", photos / "s.csv").code == 0
    with pytest.raises(Unclear):
        load_data(str(photos / "more.csv"))

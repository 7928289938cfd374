"""Images out of a request: files of a form, or base64 in JSON. How much may come is the guard's business."""

import base64
import binascii
import logging
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

__all__ = ["REQUEST_BODY", "Upload", "read_uploads"]

LONGEST_NAME = 120


@dataclass(frozen=True)
class Upload:
    """An image as it came.

    Attributes:
        name: without folders and control characters; whoever shows it escapes it.
        content: its bytes.
    """

    name: str
    content: bytes


class EncodedImage(BaseModel):
    """An image in JSON."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("image", description="What to call it in the answer.")
    data: str = Field(description="The file in base64.", json_schema_extra={"format": "byte"})


class ImagesRequest(BaseModel):
    """The JSON form of a request with images."""

    model_config = ConfigDict(extra="forbid")

    images: Annotated[list[EncodedImage], Field(min_length=1)]


REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {"type": "array", "minItems": 1, "items": EncodedImage.model_json_schema()},
                    },
                }
            },
        },
    }
}
"""For OpenAPI."""


logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a damaged body is for its sender to hear of


async def read_uploads(request: Request, most: int) -> list[Upload]:
    """The images of a request, at most `most`.

    Raises:
        HTTPException: 400 no images or a damaged body, 413 too many images, 415 another type of body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _from_form(request, most)
    elif kind == "application/json":
        uploads = _from_json(await request.body(), most)
    else:
        raise HTTPException(415, "send images as multipart/form-data (files named images) or as application/json")
    for upload in uploads:
        if not upload.content:
            raise HTTPException(400, f"{upload.name}: the file is empty")
    return uploads


async def _from_form(request: Request, most: int) -> list[Upload]:
    uploads = []
    try:
        form = await request.form(max_files=most, max_fields=16)
    except HTTPException as error:
        if error.detail.startswith("Too many files"):
            raise HTTPException(413, _too_many(most)) from error
        raise
    try:
        for name, value in form.multi_items():
            if name != "images" or not isinstance(value, UploadFile):
                raise HTTPException(400, "the form has a part that is no file named 'images'")
            uploads.append(Upload(_clean(value.filename), await value.read()))
    finally:
        await form.close()
    return _counted(uploads, most)


def _from_json(body: bytes, most: int) -> list[Upload]:
    try:
        wanted = ImagesRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise HTTPException(400, f"{where}: {first['msg']}; write {{\"images\": [{{\"name\": …, \"data\": base64}}]}}"
                            ) from error  # fmt: skip
    _counted(wanted.images, most)
    uploads = []
    for number, image in enumerate(wanted.images):
        try:
            uploads.append(Upload(_clean(image.name), base64.b64decode(image.data, validate=True)))
        except (binascii.Error, ValueError) as error:
            raise HTTPException(400, f"images.{number}.data is not base64") from error
    return uploads


def _too_many(most: int) -> str:
    return f"more than {most} images in one request"


def _counted(images: list[Any], most: int) -> list[Any]:
    if len(images) > most:
        raise HTTPException(413, _too_many(most))
    if not images:
        raise HTTPException(400, "no images; send files named 'images'")
    return images


def _clean(name: str | None) -> str:
    """A name as it may be shown: of somebody's path the end alone."""
    last = PureWindowsPath(PurePosixPath(name or "image").name).name
    shown = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    return shown[:LONGEST_NAME] or "image"

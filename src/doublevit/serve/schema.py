"""The JSON of the API, as /openapi.json describes it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from doublevit.jobs.prediction import TOP


class PredictRequest(BaseModel):
    """Images as JSON."""

    model_config = ConfigDict(extra="forbid")

    images: list[str] = Field(min_length=1, description="Image files, each as base64.")
    top: int = Field(TOP, ge=1, description="How many classes to answer with for each image.")
    model: str | None = Field(None, description="The name of the model; the first one if not given.")


class PredictedClass(BaseModel):
    """A class and its probability."""

    id: str = Field(description="The class's id: a wnid of ImageNet, or the name of a folder of images.")
    label: str = Field(description="The class's name.")
    probability: float = Field(ge=0, le=1)


class ImagePrediction(BaseModel):
    """The best classes of an image, best first."""

    top: list[PredictedClass]


class PredictResponse(BaseModel):
    """What the model makes of each image, in the order of the request."""

    model: str
    predictions: list[ImagePrediction]


class ErrorResponse(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="A code for programs, such as too_many_pixels.")
    detail: str = Field(description="What was expected and what was found, in one line.")


class Health(BaseModel):
    """Whether the models answer."""

    status: str
    models: list[str]


MULTIPART = {
    "type": "object",
    "required": ["images"],
    "properties": {
        "images": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "top": {"type": "integer", "minimum": 1, "default": TOP},
        "model": {"type": "string"},
    },
}
"""The same request as a form with files, in which images may be repeated."""


def request_body() -> dict[str, Any]:
    """Return the description of both forms of the request."""
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": MULTIPART},
            "application/json": {"schema": PredictRequest.model_json_schema()},
        },
    }


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": text}
    for status, text in {
        400: "the request is damaged, or of another host",
        408: "the body took too long to arrive",
        413: "too many bytes, pixels or images",
        415: "neither multipart/form-data nor application/json",
        422: "no image, or a field that is not as described",
        431: "the headers are too long",
        503: "too many requests are under way; Retry-After says when to come back",
    }.items()
}

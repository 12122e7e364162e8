"""The API: POST /api/predict, /healthz, /metrics, described by /openapi.json."""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pydantic
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from doublevit.serve import schema
from doublevit.serve.limits import Refused, decode_base64, decode_upload
from doublevit.serve.metrics import CONTENT_TYPE, Metrics
from doublevit.serve.options import Limits
from doublevit.serve.predictor import Answer, Predictor
from doublevit.version import __version__

Read = Callable[[], bytes]
"""Reads the bytes of one image of a request; called in a thread."""
FIELDS = ("top", "model")


def make_api(predictors: Sequence[Predictor], limits: Limits, pool: ThreadPoolExecutor, metrics: Metrics) -> FastAPI:
    """Make the API of one or more models; images are decoded in the threads of `pool`."""
    app = FastAPI(
        title="doublevit", version=__version__, docs_url=None, redoc_url=None, description=schema.__doc__ or ""
    )
    _answer_errors(app)

    @app.post(
        "/api/predict",
        responses=schema.ERRORS,
        openapi_extra={"requestBody": schema.request_body()},
        summary="The best classes of one image or several",
    )
    async def predict(request: Request) -> schema.PredictResponse:
        loop = asyncio.get_running_loop()

        def prepared(read: Read) -> Any:
            return predictor.model.prepare(decode_upload(read(), limits, predictor.model.info.bits))

        try:
            asked, reads = await _parse(request, limits)
            predictor = _chosen(predictors, asked.model)
            pixels = await _each(lambda read: loop.run_in_executor(pool, prepared, read), reads)
        finally:
            await request.close()  # deletes the files of a form
        answers = await _each(lambda image: asyncio.wrap_future(predictor.submit(image, asked.top)), pixels)
        return schema.PredictResponse(
            model=predictor.name, predictions=[prediction_of(predictor, answer) for answer in answers]
        )

    @app.get("/healthz", responses={503: {"model": schema.Health}}, summary="Whether the models answer")
    async def health(response: Response) -> schema.Health:
        alive = all(predictor.alive for predictor in predictors)
        response.status_code = 200 if alive else 503
        return schema.Health(
            status="ok" if alive else "a model has stopped", models=[predictor.name for predictor in predictors]
        )

    @app.get("/metrics", summary="Counters in Prometheus' text format")
    async def show_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return app


def prediction_of(predictor: Predictor, answer: Answer) -> schema.ImagePrediction:
    """Give the classes of an answer their ids and names."""
    info = predictor.model.info
    return schema.ImagePrediction(
        top=[
            schema.PredictedClass(id=info.class_ids[index], label=info.class_names[index], probability=value)
            for index, value in zip(answer.classes, answer.probabilities, strict=True)
        ]
    )


async def _each(start: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Start all, wait for all, and raise the first error, with the image's number where there are several."""
    results = await asyncio.gather(*map(start, items), return_exceptions=True)
    for number, result in enumerate(results):
        if isinstance(result, Refused) and len(items) > 1 and result.status != 503:
            raise Refused(result.status, result.code, f"image {number}: {result.detail}")
        if isinstance(result, BaseException):
            raise result
    return list(results)


def _chosen(predictors: Sequence[Predictor], name: str | None) -> Predictor:
    for predictor in predictors:
        if name in (None, predictor.name):
            return predictor
    known = ", ".join(predictor.name for predictor in predictors)
    raise Refused(422, "no_model", f"model: expected one of {known}, found {name!r:.100}")


async def _parse(request: Request, limits: Limits) -> tuple[schema.PredictRequest, list[Read]]:
    """Read what a request asks for, and how to read its images.

    Raises:
        Refused: the request is neither form nor JSON, or not as described.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        asked = _checked(await _json(request))
        reads: list[Read] = [lambda text=text: decode_base64(text) for text in asked.images]  # type: ignore[misc]
    elif kind == "multipart/form-data":
        asked, reads = await _parse_form(request, limits)
    else:
        raise Refused(
            415, "content_type", f"expected multipart/form-data or application/json, found {kind or 'none':.100}"
        )
    if len(reads) > limits.images:
        raise Refused(413, "too_many_images", f"expected at most {limits.images} images, found {len(reads)}")
    return asked, reads


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused(400, "no_json", f"the body is no JSON ({error})") from error


async def _parse_form(request: Request, limits: Limits) -> tuple[schema.PredictRequest, list[Read]]:
    try:
        form = await request.form(max_files=limits.images + 1, max_fields=len(FIELDS), max_part_size=4096)
    except HTTPException as error:
        raise Refused(400, "no_form", f"the form cannot be read ({error.detail})") from error
    files = form.getlist("images")
    unknown = next((name for name in form if name not in ("images", *FIELDS)), None)
    if unknown is not None or not all(isinstance(file, UploadFile) for file in files):
        found = f"the field {unknown!r:.100}" if unknown else "images that are no files"
        raise Refused(422, "fields", f"expected files called images, and {', '.join(FIELDS)}; found {found}")
    fields = {name: form[name] for name in FIELDS if name in form}
    asked = _checked({"images": ["file"] * len(files), **fields})
    return asked, [file.file.read for file in files if isinstance(file, UploadFile)]


def _checked(fields: Any) -> schema.PredictRequest:
    try:
        return schema.PredictRequest.model_validate(fields)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise Refused(422, "fields", f"{place:.100}: {_reason(first)}") from error


def _reason(error: Any) -> str:
    """Return what is wrong with a field; of the commonest mistake, a form without files, in plain words."""
    return "expected at least one image, found none" if error["type"] == "too_short" else str(error["msg"])


def _answer_errors(app: FastAPI) -> None:
    """Answer every error with one line of JSON."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body(), error.status, error.headers())

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": "http", "detail": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": "fields", "detail": str(error.errors()[0]["msg"])}, 422)

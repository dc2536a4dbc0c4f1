"""The admin API, on FastAPI: called by people and scripts, not by the thousand a second."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from headrace.admin_token import HEADER, AdminGate
from headrace.instances import Instances, shown
from shared.asgi import envelope
from shared.asgi.messages import Response as Answer
from shared.errors import HeadraceError

PREFIX = "/api/v1/admin/instances"

Limit = int | float | str | None
Switch = bool | str


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Create(_Form):
    app_id: str | None = None
    token: str | None = None
    limits: dict[str, Limit] = {}
    features: dict[str, Switch] = {}


class Rotate(_Form):
    token: str | None = None


def create_app(instances: Callable[[], Instances], gate: AdminGate, config: Mapping[str, Any]) -> FastAPI:
    """`instances` raises UnavailableError while they are not known. `config`: the settings in force, secrets hidden."""

    async def authorised(request: Request) -> None:
        header = request.headers.get(HEADER.decode())
        gate.check(None if header is None else header.encode())

    app = FastAPI(
        title="Headrace admin", openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(authorised)]
    )
    _add_error_handlers(app)

    @app.get("/config")
    async def show_config() -> Response:
        return _ok(config)

    @app.get(PREFIX)
    async def every() -> Response:
        return _ok([shown(instance) for instance in await instances().every()])

    @app.post(PREFIX)
    async def create(form: Annotated[Create, Body(default_factory=Create)]) -> Response:
        instance, token = await instances().create(form.app_id, form.token, form.limits, form.features)
        return _ok(shown(instance, token))

    @app.get(PREFIX + "/{app_id}")
    async def show(app_id: str, *, token: bool = False) -> Response:
        instance = await instances().named(app_id)
        return _ok(shown(instance, instances().token_of(instance) if token else None))

    @app.delete(PREFIX + "/{app_id}")
    async def delete(app_id: str) -> Response:
        return _ok(shown(await instances().delete(app_id)))

    @app.post(PREFIX + "/{app_id}/token")
    async def rotate(app_id: str, form: Annotated[Rotate, Body(default_factory=Rotate)]) -> Response:
        return _ok({"app_id": app_id, "token": await instances().rotate_token(app_id, form.token)})

    @app.patch(PREFIX + "/{app_id}/limits")
    async def set_limits(app_id: str, changes: Annotated[dict[str, Limit], Body()]) -> Response:
        return _ok(shown(await instances().set_limits(app_id, changes)))

    @app.patch(PREFIX + "/{app_id}/features")
    async def set_features(app_id: str, changes: Annotated[dict[str, Switch], Body()]) -> Response:
        return _ok(shown(await instances().set_features(app_id, changes)))

    return app


def _add_error_handlers(app: FastAPI) -> None:
    """Every answer is an envelope, also where FastAPI has a format of its own."""

    async def ours(_: Request, error: Exception) -> Response:
        return _from_envelope(envelope.failure_of(error))

    async def invalid(_: Request, error: Exception) -> Response:
        problems = error.errors() if isinstance(error, RequestValidationError) else []
        texts = [f"{'.'.join(str(part) for part in p['loc'][1:]) or 'body'}: {p['msg']}" for p in problems]
        return _from_envelope(envelope.failure(400, "bad_data", "; ".join(texts)))

    async def http(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        kind = {404: "not_found", 500: "internal"}.get(status, "bad_data")
        response = _from_envelope(envelope.failure(status, kind, str(getattr(error, "detail", error))))
        response.headers.update(getattr(error, "headers", None) or {})
        return response

    app.add_exception_handler(HeadraceError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _ok(data: Any) -> Response:
    return JSONResponse({"status": "success", "data": data})


def _from_envelope(response: Answer | None) -> Response:
    answer = response or envelope.failure(500, "internal", "an error inside Headrace; its log has the details")
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, "application/json")

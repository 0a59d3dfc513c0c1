"""The OpenAPI document and its page, Swagger UI from files of our own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, get
from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, License, Operation, RequestBody, Schema, SecurityScheme
from litestar.params import FromPath
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from netally.api.access import COOKIE
from netally.api.permissions import NEEDS, VIEWER
from netally.api.problems import UNAUTHORIZED
from netally.api.state import VERSION

ASSETS_PATH: Final = "/api/docs/assets"
ASSETS: Final = {
    "documents.js": ("documents.js", "text/javascript"),
    "swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css"),
}
"""Name in the address → file below ``static``, media type."""

_PAGE: Final = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Netally API</title>
<link rel="stylesheet" href="{ASSETS_PATH}/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="documents"></div>
<script src="{ASSETS_PATH}/swagger-ui-bundle.js"></script>
<script src="{ASSETS_PATH}/documents.js"></script>
</html>
"""


@dataclass
class BodyMayBeLeftOut(Operation):
    """Operation of a handler whose body has a default, which Litestar's document asks for all the same."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


class DocumentsPage(OpenAPIRenderPlugin):
    """Litestar's own Swagger page needs inline script; this one does not, so that the policy can forbid it."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return _PAGE.encode()


@get(f"{ASSETS_PATH}/{{name:str}}", include_in_schema=False, sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    if name not in ASSETS:
        raise NotFoundException
    path, media_type = ASSETS[name]
    content = (Path(__file__).parent / "static" / path).read_bytes()
    return Response(content, media_type=media_type, headers={"Cache-Control": "private, max-age=3600"})


def refuse_fallback(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Litestar answers `/api/anything` with a page of its own, the only one of its routes here that has a parameter;
    an unknown address has the same answer everywhere.
    """
    if connection.path_params:
        raise NotFoundException


@get(
    "/api/asyncapi.json",
    summary="The bus: subjects and payloads",
    responses={
        **UNAUTHORIZED,
        200: ResponseSpec(dict[str, Any], description="The document", generate_examples=False),
    },
    sync_to_thread=True,
    media_type="application/json",
)
def asyncapi() -> Response[bytes]:
    """AsyncAPI 3.0 document of what goes over NATS, made from the code."""
    content = (Path(__file__).parent / "static" / "asyncapi.json").read_bytes()
    return Response(content, media_type="application/json", headers={"Cache-Control": "private, max-age=3600"})


class StrictBodies(OpenAPISchemaPlugin):
    """Says ``additionalProperties: false`` of Structs that take no unknown fields, which Litestar leaves out."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        kind = field_definition.annotation
        return (
            isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.forbid_unknown_fields
        )

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        plain = next(
            plugin
            for plugin in schema_creator.plugins
            if plugin is not self and schema_creator.plugin_supports_field(plugin, field_definition)
        )
        schema: Schema = plain.to_openapi_schema(field_definition, schema_creator)
        schema.additional_properties = False
        return schema


def openapi_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Netally",
        version=VERSION,
        description="Who used the network, for what, when, and how much. Times are epoch milliseconds, amounts bytes, "
        "rates bytes/s; null means not measured, never zero.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        path="/api",
        openapi_router=Router(
            "/api", route_handlers=[], guards=[refuse_fallback], include_in_schema=False, opt={NEEDS: VIEWER}
        ),
        render_plugins=[DocumentsPage(path="/docs"), JsonRenderPlugin(path="/openapi.json")],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer", description="A token, or the admin token"),
                "session": SecurityScheme(type="apiKey", security_scheme_in="cookie", name=COOKIE),
            }
        ),
    )

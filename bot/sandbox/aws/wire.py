"""AWS's wire protocols: parses operation and parameters of a request, and formats answers and errors.

No I/O, except for werkzeug's request and response objects. Knows botocore's shapes and no particular operation.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4
from xml.sax.saxutils import escape

from botocore.model import OperationModel, Shape
from werkzeug.wrappers import Request, Response

from bot.sandbox.aws.errors import AwsError

JSON = "application/x-amz-json-1.1"
S3 = "s3"
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_S3_CODES = {"UnrecognizedClientException": "InvalidAccessKeyId", "ExpiredTokenException": "ExpiredToken"}
_SCOPE = re.compile(r"Credential=\w+/\d+/[\w-]+/(?P<service>[\w-]+)/aws4_request")


@dataclass(frozen=True, slots=True)
class Incoming:
    """One request, as far as it can be parsed without a model."""

    service: str
    operation: str
    body: dict[str, Any]  # JSON, or the form's fields
    content_type: str  # content type of the answer
    query: bool  # the query protocol (XML answers) rather than JSON
    malformed: bool = False  # the body is not a JSON object


def incoming(request: Request) -> Incoming:
    """Parse a request. The operation is empty if the request has none; `malformed` marks an invalid JSON body."""
    scope = _SCOPE.search(request.headers.get("Authorization", ""))
    service, raw = scope["service"] if scope else "", request.get_data(cache=True)
    if target := request.headers.get("X-Amz-Target"):
        name, body, content_type = target.rpartition(".")[2], _json(raw), request.content_type or JSON
        return Incoming(service, name, body or {}, content_type, query=False, malformed=body is None)
    if service == S3:
        return Incoming(service, _object_operation(request), {}, "application/xml", query=True)
    form = dict(parse_qsl(raw.decode(errors="replace"), keep_blank_values=True))
    return Incoming(service, form.get("Action", ""), form, "text/xml", query=True)


def params_of(call: Incoming, operation: OperationModel) -> dict[str, Any]:
    """Return the parameters in the model's shape. Raises AwsError for a body that is not a JSON object."""
    if call.malformed:
        raise AwsError("SerializationException", "The body is no JSON object.")
    if not call.query:
        return call.body
    return {} if operation.input_shape is None else _unflattened(call.body, operation.input_shape)


def answer(result: dict[str, Any], call: Incoming) -> Response:
    """Return the response for the result of an operation."""
    if call.query:
        name = call.operation
        inner = f"<{name}Result>{_xml(result)}</{name}Result>{_metadata()}"
        return Response(f"<{name}Response>{inner}</{name}Response>", content_type=call.content_type)
    text = json.dumps(result, default=_epoch, ensure_ascii=False)
    return Response(text, headers={"x-amzn-RequestId": str(uuid4())}, content_type=call.content_type)


def refusal(error: AwsError, call: Incoming) -> Response:
    """Return the response for an error."""
    if call.query:
        inner = f"<Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
        body = f"<ErrorResponse><Error>{inner}</Error><RequestId>{uuid4()}</RequestId></ErrorResponse>"
        if call.service == S3:
            code = _S3_CODES.get(error.code, error.code)
            body = f"<Error><Code>{code}</Code><Message>{escape(error.message)}</Message></Error>"
        if call.service == "ec2":  # EC2 has another format
            body = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{uuid4()}</RequestID></Response>"
        return Response(body, error.status, content_type=call.content_type)
    body = json.dumps({"__type": error.code, "message": error.message, "Message": error.message})
    return Response(body, error.status, content_type=call.content_type)


def _object_operation(request: Request) -> str:
    """Return the operation of a call to S3, which has it in method and path. Only reads of objects are told apart."""
    _, _, key = request.path.lstrip("/").partition("/")
    return "GetObject" if request.method == "GET" and key else ""


def _json(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _epoch(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(value)


def _unflattened(form: dict[str, str], shape: Any) -> dict[str, Any]:
    """Parse the query protocol, as deep as STS needs it: `A=1`, `L.member.1=x`, `L.member.1.Key=k`."""
    found = {name: _member(form, name, member) for name, member in shape.members.items()}
    return {name: value for name, value in found.items() if value is not None}


def _member(form: dict[str, str], name: str, shape: Any) -> Any:
    if shape.type_name == "list":
        numbers = {int(m[1]) for key in form if (m := re.match(rf"{name}\.member\.(\d+)", key))}
        return [_element(form, f"{name}.member.{n}", shape.member) for n in sorted(numbers)] or None
    if name not in form:
        return None
    return int(form[name]) if shape.type_name == "integer" and form[name].isdecimal() else form[name]


def _element(form: dict[str, str], prefix: str, shape: Shape) -> Any:
    if shape.type_name != "structure":
        return form[prefix]
    return {key.removeprefix(f"{prefix}."): value for key, value in form.items() if key.startswith(f"{prefix}.")}


def _xml(value: Any) -> str:
    match value:
        case dict():
            return "".join(f"<{k}>{_xml(v)}</{k}>" for k, v in value.items())
        case list():
            return "".join(f"<member>{_xml(v)}</member>" for v in value)
        case datetime():
            return value.isoformat()
        case _:
            return escape(str(value))


def _metadata() -> str:
    return f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata>"

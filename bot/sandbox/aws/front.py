"""The simulated AWS as one WSGI application: it answers the operations of a table, and moto all others.

Identifies the caller, validates parameters and answers against botocore's models, applies faults and limits, keeps
the call log. Knows no particular operation.
"""

import io
import json
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import cache, partial
from types import MappingProxyType
from typing import Any

import botocore.session
import structlog
from botocore.model import OperationModel, ServiceModel
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from bot.sandbox.aws import wire
from bot.sandbox.aws.call_log import CallLog
from bot.sandbox.aws.callers import Caller, Callers
from bot.sandbox.aws.errors import AwsError, is_possible
from bot.sandbox.aws.faults import Faults, Injected, Loss, ReplyLost, Throttle
from bot.sandbox.aws.jit.documents import NotOurs
from bot.sandbox.aws.jit.operations import Operation
from bot.sandbox.aws.shapes import problems
from bot.sandbox.aws.wire import Incoming

log = structlog.get_logger()

MODELS = MappingProxyType({"sso": "sso-admin"})  # model names of services whose signing name differs
Operations = dict[tuple[str, str], Operation]


class WrongAnswer(Exception):
    """One of our operations answered what AWS could not answer."""


class AwsFront:
    """The WSGI application."""

    def __init__(
        self, operations: Operations, *, callers: Callers, faults: Faults, throttle: Throttle, calls: CallLog
    ) -> None:
        self._operations, self._callers, self._faults = operations, callers, faults
        self._throttle, self._calls = throttle, calls
        self._moto = DomainDispatcherApplication(create_backend_app)
        # One call of these services at a time: a transaction of moto copies its whole table and restores the copy if
        # a condition fails, which would drop concurrent writes.
        self._one_at_a_time = {"dynamodb": threading.Lock()}
        self.mistakes: list[str] = []  # our answers and errors that AWS's models do not allow, and crashes

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one HTTP request."""
        request = Request(environ)
        call = wire.incoming(request)
        try:
            caller = self._callers.of(request.headers)
            response = self._logged(caller, call, partial(self._response, request, caller, call))
        except AwsError as error:
            response = wire.refusal(error, call)
        except ReplyLost as lost:
            response = _lost(lost.loss, environ)
        return response(environ, start_response)

    def perform(self, caller: Caller, service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Perform one of our operations as if `caller` had sent it, with a log entry. Raises AwsError."""
        call = Incoming(service, operation, params, wire.JSON, query=False)
        done: list[dict[str, Any]] = []

        def respond() -> Response:
            done.append(self._result(caller, call))
            return wire.answer(done[0], call)

        self._logged(caller, call, respond)
        return done[0]

    def _logged(self, caller: Caller, call: Incoming, respond: Callable[[], Response]) -> Response:
        entry = self._calls.arrived(
            call.service,
            call.operation,
            caller=caller.arn,
            source_identity=caller.session.source_identity,
            region=caller.region,
            params=call.body,
        )
        try:
            self._faults.before(call.operation)
            response = respond()
        except AwsError as error:
            self._calls.answered(entry, error.status, error.code)
            raise
        except ReplyLost:
            self._calls.answered(entry, 0, None)
            raise
        self._calls.answered(entry, response.status_code, None)
        return response

    def _response(self, request: Request, caller: Caller, call: Incoming) -> Response:
        if (call.service, call.operation) not in self._operations:
            return self._from_moto(request, call)
        try:
            return wire.answer(self._result(caller, call), call)
        except NotOurs:
            return self._from_moto(request, call)

    def _result(self, caller: Caller, call: Incoming) -> dict[str, Any]:
        model = _model(call.service).operation_model(call.operation)
        try:
            return self._checked(caller, call, model)
        except AwsError as error:
            if not isinstance(error, Injected) and not is_possible(error.code, model):
                self.mistakes.append(f"{call.operation}: no model allows the error {error}")
            raise
        except (NotOurs, ReplyLost):
            raise
        except Exception as error:
            self.mistakes.append(f"{call.operation}: {''.join(traceback.format_exception(error))}")
            log.error("sandbox_operation_failed", operation=call.operation, reason=repr(error))
            raise AwsError("InternalServerError", repr(error)) from error

    def _checked(self, caller: Caller, call: Incoming, model: OperationModel) -> dict[str, Any]:
        params = wire.params_of(call, model)
        if model.input_shape and (wrong := problems(params, model.input_shape)):
            raise AwsError("ValidationException", "; ".join(wrong))
        if call.service == "ssm":
            self._throttle.take(call.operation, account=caller.account, region=caller.region)
        result = self._operations[call.service, call.operation](caller, params)
        result = self._faults.after(call.operation, result)
        if model.output_shape and (wrong := problems(result, model.output_shape)):
            raise WrongAnswer("; ".join(wrong))
        return result

    def _from_moto(self, request: Request, call: Incoming) -> Response:
        # `incoming` has read the body; moto reads it again.
        environ = {**request.environ, "wsgi.input": io.BytesIO(request.get_data(cache=True))}
        try:
            with self._one_at_a_time.get(call.service, nullcontext()):
                response = Response.from_app(self._moto, environ, buffered=True)
        except NotImplementedError as error:
            body = json.dumps({"__type": "NotInTheSandbox", "message": str(error)})
            return Response(body, 501, content_type=wire.JSON)
        self._faults.after(call.operation, {})
        return response


@cache
def _model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(MODELS.get(service, service))


def _lost(loss: Loss, environ: dict[str, Any]) -> Response:
    if loss is Loss.EMPTY_500:
        return Response(b"", 500)
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError  # werkzeug treats it as a disconnected client

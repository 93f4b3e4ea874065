"""The simulated AWS as one WSGI application: answers the operations in a table and passes all others to moto.

Identifies the caller and keeps the call log. For the operations in the table, validates parameters and answers against
botocore's models. Knows no particular operation. An `Interceptor` may delay or refuse calls, and change or drop
answers.
"""

import io
import json
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
from bot.sandbox.aws.jit.documents import NotOurs
from bot.sandbox.aws.jit.operations import Operation
from bot.sandbox.aws.shapes import problems
from bot.sandbox.aws.wire import Incoming

log = structlog.get_logger(__name__)

MODELS = MappingProxyType({"sso": "sso-admin"})  # model names of services whose signing name differs
Operations = dict[tuple[str, str], Operation]
Answer = dict[str, Any]


class WrongAnswer(Exception):
    """One of the simulator's operations gave an answer that AWS's model does not allow."""


class NoAnswer(Exception):
    """An interceptor dropped the answer: the call took effect, but its caller gets no answer."""


class Interceptor:
    """Gets every call before it takes effect, and its answer afterwards.

    This class lets everything pass; subclasses inject faults. Both methods may block.
    """

    def before(self, caller: Caller, call: Incoming, /) -> None:
        """Return, so that the call takes effect. A subclass may raise AwsError instead."""

    def after(self, _call: Incoming, answer: Answer, /) -> Answer:
        """Return the answer to send. A subclass may raise NoAnswer.

        If moto answers the call, `answer` is empty and the result is ignored.
        """
        return answer


class AwsFront:
    """The WSGI application. `mistakes` has the errors of the simulator itself."""

    def __init__(
        self, operations: Operations, *, callers: Callers, calls: CallLog, interceptor: Interceptor | None = None
    ) -> None:
        self._operations, self._callers, self._calls = operations, callers, calls
        self._interceptor = interceptor or Interceptor()
        self._moto = DomainDispatcherApplication(create_backend_app)
        # One call of these services at a time: a transaction of moto copies its whole table and restores the copy if
        # a condition fails, which would drop concurrent writes.
        self._one_at_a_time = {"dynamodb": threading.Lock()}
        self.mistakes: list[str] = []  # crashes, and answers or errors that AWS's models do not allow

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one HTTP request. Raises NoAnswer."""
        request = Request(environ)
        call = wire.incoming(request)
        try:
            caller = self._callers.of(request.headers)
            response = self._logged(caller, call, partial(self._response, request, caller, call))
        except AwsError as error:
            response = wire.refusal(error, call)
        return response(environ, start_response)

    def perform(self, caller: Caller, service: str, operation: str, params: dict[str, Any]) -> Answer:
        """Perform an operation of the simulator as if `caller` had sent it, with a log entry.

        Raises AwsError, and NoAnswer if the interceptor drops the answer.
        """
        call = Incoming(service, operation, params, wire.JSON, query=False)
        done: list[Answer] = []

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
            self._interceptor.before(caller, call)
            response = respond()
        except AwsError as error:
            self._calls.answered(entry, error.status, error.code)
            raise
        except NoAnswer:
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

    def _result(self, caller: Caller, call: Incoming) -> Answer:
        model = _model(call.service).operation_model(call.operation)
        try:
            return self._checked(caller, call, model)
        except AwsError as error:
            if not is_possible(error.code, model):
                self.mistakes.append(f"{call.operation}: no model allows the error {error}")
            raise
        except (NotOurs, NoAnswer):
            raise
        except Exception as error:  # a defect of the simulator: `mistakes` reports it, and the server keeps running
            self.mistakes.append(f"{call.operation}: {''.join(traceback.format_exception(error))}")
            log.error("sandbox_operation_failed", operation=call.operation, reason=repr(error))
            raise AwsError("InternalServerError", repr(error)) from error

    def _checked(self, caller: Caller, call: Incoming, model: OperationModel) -> Answer:
        params = wire.params_of(call, model)
        if model.input_shape and (wrong := problems(params, model.input_shape)):
            raise AwsError("ValidationException", "; ".join(wrong))
        result = self._operations[call.service, call.operation](caller, params)
        result = self._interceptor.after(call, result)
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
        self._interceptor.after(call, {})
        return response


@cache
def _model(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(MODELS.get(service, service))

"""The sandbox's AWS with planned faults, and with SSM's rate limit.

A fault holds, delays or refuses a call, or loses or rewrites its answer. Operations are known only by their names.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from werkzeug.wrappers import Response

from bot.sandbox.aws.callers import Caller
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.front import Answer, Interceptor, NoAnswer
from bot.sandbox.aws.server import SandboxAws, utc_now
from bot.sandbox.aws.wire import Incoming

LONGEST_HOLD = 120.0  # seconds; a test that forgets a held call must not block its thread forever


class Loss(StrEnum):
    """The way in which a reply is lost after the call took effect."""

    CLOSED = "closed"  # the connection is closed without a byte
    EMPTY_500 = "empty_500"  # status 500, no body


class ReplyLost(NoAnswer):
    """The call took effect, but its answer is lost in the way that `loss` describes."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss)
        self.loss = loss


class Replaced(NoAnswer):
    """The call had no effect, and is answered with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


@dataclass(slots=True)
class Hold:
    """Held calls. The first sets `arrived`; `release` continues them and all later ones."""

    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Continue the held calls."""
        self.released.set()

    def wait(self) -> None:
        """Block the calling thread until released, at most LONGEST_HOLD."""
        self.arrived.set()
        self.released.wait(LONGEST_HOLD)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(slots=True)
class _Fault:
    """A fault of one operation: `before` runs before its effect, `after` changes its answer."""

    operation: str
    remaining: int | None  # calls; None: all
    before: Callable[[], None] | None = None
    after: Callable[[Answer], Answer] | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A call from its arrival to its answer, in seconds of the monotonic clock.

    `target` is what AWS's JSON protocols name, such as `AmazonSSM.GetOpsItem`; empty for other protocols.
    """

    target: str
    began: float
    ended: float


class Faults:
    """The planned faults. Thread-safe. `times` is the number of calls that a fault affects; None: all calls."""

    def __init__(self) -> None:
        self.latency = 0.0
        """Seconds that every call waits before its effect."""
        self._faults: list[_Fault] = []
        self._holds: list[Hold] = []
        self._lock = threading.Lock()

    def hold(self, operation: str, *, after_effect: bool = False, times: int | None = None) -> Hold:
        """Hold calls until released; with `after_effect`, they change the state and only their answers wait."""
        hold = Hold()
        self._holds.append(hold)
        if not after_effect:
            self._add(_Fault(operation, times, before=hold.wait))
            return hold

        def wait(answer: Answer) -> Answer:
            hold.wait()
            return answer

        self._add(_Fault(operation, times, after=wait))
        return hold

    def fail(self, operation: str, code: str, *, status: int | None = None, times: int | None = 1) -> None:
        """Answer the next calls with this error; they have no effect."""

        def refuse() -> None:
            raise AwsError(code, "Injected by a test.", status)

        self._add(_Fault(operation, times, before=refuse))

    def lose_reply(self, operation: str, *, how: Loss = Loss.CLOSED, times: int | None = 1) -> None:
        """Let the next calls take effect, and lose their answers."""

        def lose(_: Answer) -> Answer:
            raise ReplyLost(how)

        self._add(_Fault(operation, times, after=lose))

    def delay(self, operation: str, seconds: float, *, times: int | None = None) -> None:
        """Delay calls before they take effect."""
        never = threading.Event()

        def wait() -> None:
            never.wait(seconds)

        self._add(_Fault(operation, times, before=wait))

    def rewrite(self, operation: str, change: Callable[[Answer], Answer], *, times: int | None = None) -> None:
        """Change answers with this function. The operation's model must allow the changed answer."""
        self._add(_Fault(operation, times, after=change))

    def replace(self, operation: str, *bodies: str, status: int = 200) -> None:
        """Answer the next calls with these bodies, without effect. For operations of moto, which have no `rewrite`."""
        left = list(bodies)

        def answer() -> None:
            raise Replaced(Response(left.pop(0), status, content_type="text/xml"))

        self._add(_Fault(operation, len(bodies), before=answer))

    def clear(self) -> None:
        """Remove all faults and continue every held call."""
        with self._lock:
            self._faults.clear()
        for hold in self._holds:
            hold.release()

    def before(self, operation: str) -> None:
        """Wait for the latency, and apply faults before an operation takes effect. Raises AwsError, Replaced."""
        if self.latency:
            time.sleep(self.latency)
        for fault in self._due(operation, lambda f: f.before is not None):
            if fault.before:
                fault.before()

    def after(self, operation: str, answer: Answer) -> Answer:
        """Apply faults to an answer, after the operation took effect. May block. Raises ReplyLost."""
        for fault in self._due(operation, lambda f: f.after is not None):
            if fault.after:
                answer = fault.after(answer)
        return answer

    def _due(self, operation: str, fits: Callable[[_Fault], bool]) -> list[_Fault]:
        with self._lock:
            due = [f for f in self._faults if f.operation == operation and fits(f) and f.remaining != 0]
            for fault in due:
                fault.remaining = None if fault.remaining is None else fault.remaining - 1
            return due

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)


class Throttle:
    """Allows `per_second` calls a second for each operation, account and Region, by buckets that refill steadily."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self.per_second: float | None = None
        self._now, self._lock = now, threading.Lock()
        self._buckets: dict[tuple[str, str, str], tuple[float, datetime]] = {}

    def take(self, operation: str, *, account: str, region: str) -> None:
        """Take one call from the bucket; raise AwsError ThrottlingException if it is empty."""
        rate = self.per_second
        if rate is None:
            return
        with self._lock:
            now, key = self._now(), (operation, account, region)
            left, at = self._buckets.get(key, (rate, now))
            left = min(rate, left + (now - at).total_seconds() * rate)
            self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise AwsError("ThrottlingException", "Rate exceeded")


class _Injection(Interceptor):
    """Applies the faults and the rate limit of one `FaultyAws`."""

    def __init__(self, faults: Faults, throttle: Throttle) -> None:
        self._faults, self._throttle = faults, throttle

    def before(self, caller: Caller, call: Incoming, /) -> None:
        """Apply faults, then the rate limit of SSM. Raises AwsError, Replaced."""
        self._faults.before(call.operation)
        if call.service == "ssm":
            self._throttle.take(call.operation, account=caller.account, region=caller.region)

    def after(self, call: Incoming, answer: Answer, /) -> Answer:
        """Apply faults to the answer. Raises ReplyLost."""
        return self._faults.after(call.operation, answer)


class FaultyAws(SandboxAws):
    """The sandbox's AWS, with `faults` and a limit of calls per second."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now, **settings: Any) -> None:
        self.faults = Faults()
        self.throttle = Throttle(now=now)
        self.spans: list[Span] = []
        super().__init__(now=now, interceptor=_Injection(self.faults, self.throttle), **settings)

    @classmethod
    def start(cls, *, port: int = 0, per_second: float | None = None, **settings: Any) -> Self:
        """Start with the sample data. `per_second` is the limit of calls for each SSM operation; None is no limit."""
        aws = super().start(port=port, **settings)
        aws.throttle.per_second = per_second  # set after the sample data is created, which takes more calls a second
        return aws

    def stop(self) -> None:
        """Continue every held call and stop the server."""
        self.faults.clear()
        super().stop()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one HTTP request, or lose the reply if a fault requires it."""
        began = time.monotonic()
        try:
            return super().__call__(environ, start_response)
        except Replaced as replaced:
            return replaced.response(environ, start_response)
        except ReplyLost as lost:
            return _lost(lost.loss, environ)(environ, start_response)
        finally:
            self.spans.append(Span(environ.get("HTTP_X_AMZ_TARGET", ""), began, time.monotonic()))


def _lost(loss: Loss, environ: dict[str, Any]) -> Response:
    if loss is Loss.EMPTY_500:
        return Response(b"", 500)
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError  # werkzeug treats it as a disconnected client

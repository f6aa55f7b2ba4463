"""What the protos say about RPCs and error reasons, read from their options."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache

import grpc
from atelier import options_pb2
from atelier.errors.v1 import errors_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from kit.errors import NotForApiKeys, ScopeMissing
from kit.identity import Identity, Kind

ERROR_DOMAIN = "atelier"
_GRPC_STATUS = {status.value[0]: status for status in grpc.StatusCode}
_PREFIX = "REASON_"


@dataclass(frozen=True)
class Deprecation:
    """The announced end of an RPC.

    Attributes:
        since: The day since which it is deprecated.
        sunset: The day from which it may be gone, where that is known.
        successor: The path that takes its place, or empty.
    """

    since: dt.date
    sunset: dt.date | None
    successor: str


@dataclass(frozen=True)
class Policy:
    """Who may call an RPC and how the gateway shows it; see ``atelier/options.proto``."""

    caller: Kind
    scope: str
    idempotency_key_required: bool
    idempotency_key_honoured: bool
    rate_class: str
    success_status: int
    location: str
    wait_path: str = ""
    deprecation: Deprecation | None = None
    ignores_token: bool = False
    internal: bool = False

    def check_key(self, identity: Identity) -> None:
        """Checks that a caller with an API key may make this call with it.

        Raises:
            NotForApiKeys: No key may.
            ScopeMissing: The key lacks the scope.
        """
        if identity.scopes is None:
            return
        if not self.scope:
            raise NotForApiKeys("this call needs a session; an API key is not enough")
        if self.scope not in identity.scopes:
            message = f"the API key lacks the scope {self.scope}"
            raise ScopeMissing(message, scope=self.scope)

    def admits(self, identity: Identity) -> bool:
        """Whether this caller is let in."""
        if self.caller is Kind.NOBODY:
            return True
        if Kind.SERVICE in (self.caller, identity.kind):
            return self.caller is identity.kind
        return identity.kind >= self.caller


def policy_of(method: MethodDescriptor) -> Policy:
    """Reads the policy of an RPC.

    Raises:
        LookupError: It has none, so its service must not start.
    """
    options = method.GetOptions()
    if not options.HasExtension(options_pb2.policy):
        raise LookupError(f"{method.full_name} has no (atelier.policy)")
    policy = options.Extensions[options_pb2.policy]
    if not policy.caller:
        raise LookupError(f"{method.full_name} has a policy without a caller")
    return Policy(
        caller=Kind(policy.caller),
        scope=policy.scope,
        idempotency_key_required=policy.idempotency == options_pb2.IDEMPOTENCY_REQUIRED,
        idempotency_key_honoured=policy.idempotency != options_pb2.IDEMPOTENCY_UNSPECIFIED,
        rate_class=options_pb2.RateClass.Name(policy.rate_class)
        .removeprefix("RATE_CLASS_")
        .lower()
        .replace("unspecified", "read"),
        success_status=policy.success_status or 200,
        location=policy.location,
        wait_path=policy.wait_path,
        deprecation=_deprecation(policy),
        ignores_token=policy.ignores_token,
        internal=policy.internal,
    )


def _deprecation(policy: options_pb2.Policy) -> Deprecation | None:
    if not policy.HasField("deprecation"):
        return None
    announced = policy.deprecation
    sunset = dt.date.fromisoformat(announced.sunset) if announced.sunset else None
    return Deprecation(dt.date.fromisoformat(announced.since), sunset, announced.successor)


def policies_of(service: ServiceDescriptor) -> dict[str, Policy]:
    """Reads the policy of every RPC of a service, by method name."""
    return {method.name: policy_of(method) for method in service.methods}


@dataclass(frozen=True)
class Failure:
    """How an error reason is answered on both protocols.

    Attributes:
        reason: The name in capitals, as in ErrorInfo.
        status: The gRPC status.
        http_status: The HTTP status.
        title: A short title in English.
        title_ko: The same in Korean.
        meaning_ko: What it means, in Korean; in English the proto's comment says it.
        remedy: What the caller does about it, in English.
        remedy_ko: The same in Korean.
    """

    reason: str
    status: grpc.StatusCode
    http_status: int
    title: str
    title_ko: str = ""
    meaning_ko: str = ""
    remedy: str = ""
    remedy_ko: str = ""

    @property
    def code(self) -> str:
        """The stable code of a problem document."""
        return self.reason.lower()


@cache
def failures() -> dict[str, Failure]:
    """Returns every error reason of the proto, by its name without the prefix."""
    found = {}
    for value in errors_pb2.Reason.DESCRIPTOR.values:
        if not value.number:
            continue
        failure = value.GetOptions().Extensions[options_pb2.failure]
        reason = value.name.removeprefix(_PREFIX)
        status = _GRPC_STATUS[failure.code]
        found[reason] = Failure(
            reason,
            status,
            failure.http_status,
            failure.title,
            failure.title_ko,
            failure.meaning_ko,
            failure.remedy,
            failure.remedy_ko,
        )
    return found


@cache
def failure_of_status(status: grpc.StatusCode) -> Failure:
    """Returns the general reason for a status that carries none, such as a broken connection."""
    general = {
        grpc.StatusCode.INVALID_ARGUMENT: "INVALID_ARGUMENT",
        grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
        grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
        grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
        grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
        grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
        grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
        grpc.StatusCode.CANCELLED: "UNAVAILABLE",  # by a server that ended
    }
    return failures()[general.get(status, "INTERNAL")]

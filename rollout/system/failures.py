"""Describes the errors of libraries in one line each: what failed, where, and how to fix it."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from rollout.model.errors import Interruption, RolloutError

_T = TypeVar("_T")

LOG_IN: Final = "Log in again (`aws sso login`, or new keys), and check AWS_PROFILE"

_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_INVALID: Final = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"}
    | {"InvalidAccessKeyId", "IncompleteSignature", "InvalidSignatureException", "MissingAuthenticationToken"}
)
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
# botocore's words, in no class of its own, for credentials whose end it knows.
# https://github.com/boto/botocore/blob/develop/botocore/credentials.py (RefreshableCredentials)
_OUTLIVED: Final = "refreshed credentials are still expired"
_THROTTLED: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"})


def ask(read: Callable[[], _T], what: str, unanswered: list[str]) -> _T | None:
    """Return what a source says. If it fails, return None and add why to ``unanswered``: the others still count.

    Args:
        read: asks the source.
        what: the source, for the message.
        unanswered: gets one line for a source that fails.
    """
    try:
        return read()
    except Exception as error:  # what looks at everything is needed most when something is down
        unanswered.append(f"{what}: {describe_error(error)}")
        return None


def describe_error(error: BaseException) -> str:
    """Return in one line what went wrong. The messages of our own errors are returned unchanged."""
    if isinstance(error, RolloutError | Interruption):
        return str(error)
    package = type(error).__module__.partition(".")[0]
    describe = _DESCRIPTIONS.get(package)
    if describe is not None:
        return describe(error)
    if isinstance(error, OSError):
        return _os(error)
    if isinstance(error, RuntimeError) and _OUTLIVED in str(error):
        return f"AWS: the credentials have expired. {LOG_IN}"
    return one_line(f"{type(error).__name__}: {error}")


def one_line(text: str) -> str:
    """Return a text with its lines joined."""
    return " ".join(text.split())


def pulumi_words(error: BaseException) -> str:
    """Return the Pulumi CLI's message without the automation API's frame, and how to fix the problem if known."""
    text = str(error).strip()
    if frame := re.fullmatch(r"code: (-?\d+)\s+stdout:(.*)stderr:(.*)", text, re.DOTALL):
        text = frame[3].strip() or frame[2].strip() or f"pulumi printed nothing, and exited with {frame[1]}"
    message = one_line(re.sub(r"^(error|warning): ", "", text, flags=re.MULTILINE))
    return message + next((f". {fix}" for sign, fix in _PULUMI_FIXES if sign in message), "")


_PULUMI_FIXES: Final = (
    ("currently locked", "If that process is gone for good, run `pulumi cancel --stack <stack>`"),
    ("Another update is currently in progress", "If that update is gone for good, run `pulumi cancel --stack <stack>`"),
    ("no stack named", "See `pulumi stack ls`, and check --stack and PULUMI_BACKEND_URL"),
    ("incorrect passphrase", "Set PULUMI_CONFIG_PASSPHRASE to the stack's own"),
    ("passphrase must be set", "Set one of them to the stack's passphrase"),
    ("PULUMI_ACCESS_TOKEN", "Run `pulumi login`, or set PULUMI_ACCESS_TOKEN"),
    ("unable to open state directory", "Check PULUMI_BACKEND_URL, or run `pulumi login`"),
    ("ExpiredToken", LOG_IN),
    ("no resource plugin", "Run `pulumi plugin install`"),
)


def _aws(error: Any) -> str:
    from botocore import exceptions as aws

    if isinstance(error, aws.ClientError):
        return _aws_answer(error)
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError | aws.CredentialRetrievalError):
        return f"AWS: {one_line(str(error)).rstrip('.')}. Set AWS_PROFILE, or log in with `aws sso login`"
    if isinstance(error, aws.SSOError | aws.TokenRetrievalError):
        return f"AWS: the login has expired ({one_line(str(error)).rstrip('.')}). {LOG_IN}"
    if isinstance(error, aws.ProfileNotFound):
        return f"AWS: {error}. Check AWS_PROFILE against `aws configure list-profiles`"
    if isinstance(error, aws.NoRegionError):
        return "AWS: no region is set. Set aws:region in the stack's config, or AWS_REGION"
    if isinstance(error, aws.HTTPClientError | aws.EndpointConnectionError | aws.ConnectionError):
        endpoint = error.kwargs.get("endpoint_url", "the endpoint")
        reason = _innermost(error.kwargs.get("error")) or "no connection"
        return f"AWS: {endpoint} does not answer ({reason}). Check the network, aws:region and AWS_ENDPOINT_URL"
    return f"AWS: {one_line(str(error))}"


def _aws_answer(error: Any) -> str:
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "unknown")), one_line(str(answer.get("Message", ""))).rstrip(".")
    what = f"AWS {error.operation_name}: {code}: {message}"
    if code in _EXPIRED:
        return f"AWS: the credentials have expired ({code}: {message}). {LOG_IN}"
    if code in _INVALID:
        return f"AWS: the credentials are not valid ({code}: {message}). {LOG_IN}"
    if code in _DENIED:
        return f"{what}. Allow the action for this identity, or use another AWS_PROFILE"
    if code in _THROTTLED:
        return f"{what}, also after retries. Try again later"
    return what


def _http(error: Any) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code} {error.response.reason_phrase}"
    return one_line(str(error)) or type(error).__name__


def _kubernetes(error: Any) -> str:
    status = getattr(error, "status", None)
    if status is None:
        return f"{one_line(str(error)).rstrip('.')}. Set KUBECONFIG, and kubernetes:context in the stack's config"
    fix = {401: "Log in to the cluster again", 403: "Allow it for this identity"}.get(status)
    return f"Kubernetes answers {status} {error.reason}" + (f". {fix}" if fix else "")


def _urllib3(error: Any) -> str:
    pool = getattr(error, "pool", None)
    where = f"{pool.host}:{pool.port} " if pool is not None else ""
    return f"{where}does not answer ({_innermost(getattr(error, 'reason', None) or error)})"


def _innermost(error: object) -> str:
    """Return the end of a chained message. The parts before it are objects and their addresses."""
    reason = getattr(error, "reason", None)
    text = str(reason if reason is not None else error if error is not None else "")
    return one_line(re.split(r"[>)]: ", text)[-1])


def _os(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


_DESCRIPTIONS: Final[dict[str, Callable[[Any], str]]] = {
    "botocore": _aws,
    "boto3": _aws,
    "httpx": _http,
    "kubernetes": _kubernetes,
    "urllib3": _urllib3,
    "pulumi": pulumi_words,
}

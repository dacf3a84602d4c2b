"""The formats that texts in the config must have, each with a description and an example."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from components.config.reading.secret_values import secret_kind
from components.config.reading.violations import UNSET, Violation, wrong
from components.domain.moments import format_or_empty, parse_or_none, parse_rfc3339
from components.domain.nodes.host_memory import OBJECT_STORES
from components.domain.pods.pod_paths import MODEL_CACHE_PATH


@dataclass(frozen=True)
class Form:
    """The format of a text."""

    what: str
    example: str
    check: Callable[[str], str | None]
    """Returns None for a valid text, else a hint, which may be empty."""
    hides: Callable[[str], bool] = lambda text: secret_kind(text) is not None
    """Whether a text may contain a secret, so that no message may show it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the format after pydantic has checked the type."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    @property
    def expected(self) -> str:
        """What the text must be, with an example."""
        return f"{self.what}, e.g. {self.example}"

    def _checked(self, text: str | None) -> str | None:
        if text is None or (hint := self.check(text)) is None:
            return text
        if text != text.strip() and self.check(text.strip()) is None:
            hint = "Remove the spaces around it."
        what, value = f"must be {self.expected}", UNSET if self.hides(text) else text
        if value is UNSET and secret_kind(text) is None:
            what += " (got a text that may contain a key, so it is not shown)"
        raise wrong(Violation((), what, hint, value))


@dataclass(frozen=True)
class TimeForm(Form):
    """The format of a time. The settings hold the moment, or None for an empty text; dumped, it is text again."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take only text, whatever type the field has."""
        return core_schema.no_info_after_validator_function(
            self._moment,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(format_or_empty),
        )

    def _moment(self, text: str) -> datetime | None:
        self._checked(text)
        return parse_or_none(text)


def matching(pattern: str) -> Callable[[str], str | None]:
    """Return a check that the pattern matches the whole text."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: None if compiled.fullmatch(text) else ""


def _network(text: str) -> str | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return ""
    if "/" not in text or not text.rpartition("/")[2].isdigit():
        return f"Write its prefix length: {network}."
    return None if str(network.network_address) == text.partition("/")[0].lower() else f"Did you mean {network}?"


def _base_url(text: str) -> str | None:
    if (hint := _url(text)) is not None:
        return hint
    return None if urlsplit(text).path == "" else "Remove the path, including a slash at the end."


def _url(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        usable = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https"):
        return "Begin it with https:// or http://."
    if parts.username is not None or parts.password is not None:
        return "Remove the user and the password: config is plain text."
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        return "Remove the query and the fragment."
    authority = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]+)?", parts.netloc)
    return None if usable and authority and re.fullmatch(r"[!-~]+", text) else ""


def _api_url(text: str) -> str | None:
    if (hint := _url(text)) is not None:
        return hint
    path = urlsplit(text).path.rstrip("/")
    end = next((one for one in ("/chat/completions", "/completions", "/chat") if path.endswith(one)), None)
    return None if end is None else f"Remove {end} at its end: /chat/completions is added to it."


def _hides(url: str) -> bool:
    """Return whether a URL may contain a key: in its user or its query, which no setting of this kind may have."""
    return secret_kind(url) is not None or bool(set(url) & set("@?#"))


_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


def _time(text: str) -> str | None:
    found = _RFC3339.fullmatch(text)
    if found is None:
        # YAML parsed an unquoted time, and Pulumi passed it on in this format.
        return "Put it in quotes in the YAML." if re.search(r"\d [+-]\d{4}( [A-Z]+)?$", text) else ""
    if found[2] is None:
        return "It must have a time zone: add a Z at the end for UTC."
    try:
        parse_rfc3339(text)
    except ValueError:
        return "That date or time does not exist."
    return None


_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_REGION = r"[a-z]{2,4}(-[a-z]{1,12}){1,3}-[0-9]{1,2}"
_EC2_IDS = {"sg": "a security group", "vpc": "a VPC", "subnet": "a subnet", "cr": "a capacity reservation"}


def _namespace(text: str) -> str | None:
    if re.fullmatch(_LABEL, text) is None:
        return ""
    taken = text == "default" or text.startswith("kube-")
    return "That namespace belongs to the cluster; the stack creates its own." if taken else None


def _region(text: str) -> str | None:
    if re.fullmatch(_REGION, text, re.ASCII):
        return None
    if re.fullmatch(rf"{_REGION}[a-z]", text, re.ASCII):
        return f"That is a zone; its region is {text[:-1]}."
    plain = re.sub(r"[\s_]+", "-", text.strip().casefold())
    return next((f"Did you mean {one}?" for one in (plain, f"{plain}-1") if re.fullmatch(_REGION, one, re.ASCII)), "")


def _ec2_id(prefix: str) -> Callable[[str], str | None]:
    """Return a check of an id that EC2 gave, with a hint when the text names something else."""
    # Ids have 17 digits, older ones 8. Fewer are no real ids, but examples; what lies between has lost its end.
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
    pattern = re.compile(rf"{prefix}-([0-9a-f]{{1,8}}|[0-9a-f]{{17}})", re.ASCII)

    def check(text: str) -> str | None:
        if pattern.fullmatch(text):
            return None
        if (other := text.partition("-")[0]) in _EC2_IDS.keys() - {prefix}:
            return f"That is {_EC2_IDS[other]}'s id."
        if text.startswith("arn:"):
            return f"Write the id alone: the end of the ARN, which begins with {prefix}-."
        if re.fullmatch(rf"{prefix}-[0-9a-f]+", text, re.ASCII):
            return (
                f"After {prefix}- come 17 digits and letters, in older ids 8; these are {len(text) - len(prefix) - 1}."
            )
        return f"After {prefix}- come digits and letters from a to f only." if text.startswith(f"{prefix}-") else ""

    return check


REGION: Final = Form("an AWS region", "eu-central-1", _region)
EKS_NAME: Final = Form("an EKS cluster's name", "production", matching(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}"))
SECURITY_GROUP: Final = Form("a security group's id", "sg-0a1b2c3d4e5f60718", _ec2_id("sg"))
VPC: Final = Form("a VPC's id", "vpc-0a1b2c3d4e5f60718", _ec2_id("vpc"))
SUBNET: Final = Form("a subnet's id", "subnet-0a1b2c3d4e5f60718", _ec2_id("subnet"))
POLICY: Final = Form(
    "the ARN of an IAM policy",
    "arn:aws:iam::123456789012:policy/boundary",
    matching(r"arn:aws(-[a-z]+)*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]{1,600}"),
)
RESERVATION: Final = Form("a capacity reservation's id", "cr-0a1b2c3d4e5f60718", _ec2_id("cr"))
RESERVATION_GROUP: Final = Form(
    "the ARN of a resource group of capacity reservations",
    "arn:aws:resource-groups:us-east-1:123456789012:group/gpus",
    matching(
        r"arn:aws(-[a-z]+)*:resource-groups:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{12}:group/[A-Za-z0-9_.-]{1,300}(/[a-z0-9]+)?"
    ),
)
AMI_RELEASE: Final = Form(
    "a release of the EKS AMI: Kubernetes version and date",
    "1.33.4-20260801",
    matching(r"1\.[0-9]{2}\.[0-9]{1,2}-20[0-9]{6}"),
)
CERTIFICATE: Final = Form(
    "the ARN of an ACM certificate",
    "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    matching(rf"arn:aws(-[a-z]+)*:acm:[a-z]+(-[a-z]+)+-[0-9]+:[0-9]{{12}}:certificate/{_UUID}"),
)
NETWORK: Final = Form("a network in CIDR notation", "10.0.0.0/8", _network)
# A target group's name has at most 32 characters: the service, "-green" and Pulumi's random suffix of 8.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
SERVICE_NAME: Final = Form(
    "a service's name: at most 18 lower-case letters, digits and dashes, starting with a letter",
    "chat",
    matching(r"[a-z]([-a-z0-9]{0,16}[a-z0-9])?"),
)
NAMESPACE: Final = Form("a Kubernetes namespace: lower-case letters, digits and dashes", "chat", _namespace)
MODEL_NAME: Final = Form("a model name without spaces", "qwen2.5-7b", matching(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,199}"))
BASE_URL: Final = Form("an http(s) URL of scheme and host", "https://llm.example.com", _base_url, _hides)
URL: Final = Form("an http(s) URL", "https://prometheus.internal", _url, _hides)
JUDGE_URL: Final = Form("an http(s) URL", "https://judge.internal/v1", _api_url, _hides)
STORE_URL: Final = Form(
    "the URL of an S3 prefix or a folder",
    "s3://team-rollouts/llm",
    # A bucket name has no capitals; neither kind of URL has a query or a user.
    matching(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._=/-]{0,500})?|file:///[A-Za-z0-9._=/%@+-]{0,500}"),
)
TIME: Final = TimeForm("an RFC 3339 time", "2026-11-22T08:00:00Z", _time)
TIME_OR_EMPTY: Final = TimeForm(TIME.what, TIME.example, lambda text: _time(text) if text else None)
ANNOUNCEMENT: Final = Form(
    'a serial and a reason: "<serial> <reason>"',
    '"7 move to larger nodes"',
    matching(r"([0-9]{1,10} \S[^\x00-\x1f]*)?"),
)

# https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels
_PROMETHEUS_LABEL = matching(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,99}")
_TAKEN_LABELS: Final = {
    "service": "All requests that a gate judges are of one service.",
    "color": "A gate compares the colours anyway.",
    "le": "That label has the buckets of a latency.",
    "status": "That label says whether a request failed.",
    "finished_reason": "That label says whether a request failed.",
}


def _slice_label(text: str) -> str | None:
    return _TAKEN_LABELS.get(text, _PROMETHEUS_LABEL(text))


SLICE_LABEL: Final = Form(
    "a label of the pods' metrics: letters, digits and underscores, not starting with a digit",
    "model_name",
    _slice_label,
)


def _score_file(text: str) -> str | None:
    if re.fullmatch(_PATH, text) is None:
        return ""
    parts = text.split("/")
    if text.startswith(("/", "{folder}")) or ".." in parts:
        return "Write it relative to {folder}."
    return (
        "Write * there: ** is a whole part of a path." if any("**" in part and part != "**" for part in parts) else None
    )


_PATH = r"(?!/*$)[^\x00-\x1f:]{1,500}"
PATH: Final = Form("a path, relative to the folder of Pulumi.yaml", "evals/suite.jsonl", matching(_PATH))
SCORE_FILE: Final = Form("a path in the command's folder", "**/results_*.json", _score_file)
PATH_OR_S3: Final = Form(
    "a path, relative to the folder of Pulumi.yaml, or s3://<bucket>/<prefix>",
    "s3://gateway-logs/chat/",
    matching(rf"{_PATH}|s3://[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9]/[^\x00-\x1f]{{0,500}}"),
)

# A quantisation after a colon names one GGUF file of a repository.
# https://github.com/vllm-project/vllm/pull/29137
_GGUF = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}:[A-Za-z0-9_+-]{1,40}"
_STORES = "|".join(OBJECT_STORES)
_PART = r"[A-Za-z0-9._+=-]+"
_SHORT = r"(?=.{1,500}$)"
# A repository has a name, or an owner and a name, and one GGUF file may follow.
# https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/utils/_validators.py
_REPOSITORY = rf"{_SHORT}[A-Za-z0-9]([A-Za-z0-9._+=-]*[A-Za-z0-9_+=-])?(/{_PART}(/{_PART}\.gguf)?)?"
_MODEL = matching(
    rf"{_REPOSITORY}|{_SHORT}/{_PART}(/{_PART})*/?|{_SHORT}({_STORES})[A-Za-z0-9][A-Za-z0-9._/+=-]*|{_GGUF}"
)
_HUB_PAGE = re.compile(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/|(hf|huggingface)://", re.ASCII)


def _model_hint(text: str) -> str:
    """Return how to write what is no model."""
    repository, at, revision = text.partition("@")
    if at and _MODEL(repository) is None:
        return f"Write {repository}, and set model_revision to {revision}." if revision else f"Write {repository}."
    if re.match(r"\.{1,2}/|~", text):
        return "A path is one in the pod, and begins with /."
    parts = text.split("/")
    if text[:1] not in ("", "/") and "://" not in text and (len(parts) > len(("owner", "name")) or "" in parts):
        return "A repository is an owner, a slash and a name; a path begins with /."
    return ""


def _model(text: str) -> str | None:
    if hub := _HUB_PAGE.match(text):
        # What follows in a page's address is a branch and a folder.
        repository = "/".join(text[hub.end() :].split("?")[0].split("/")[:2])
        return f"Write {repository}." if _MODEL(repository) is None else "Write the repository alone."
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
    if scheme is None or scheme[0] in OBJECT_STORES:
        return None if _MODEL(text) is None else _model_hint(text)
    if scheme[0].lower() in OBJECT_STORES:
        return f"Write {scheme[0].lower()}, in small letters."
    if scheme[0] == "pvc://":
        return (
            "vLLM cannot load from pvc://: mount the claim with pods.model_cache_claim or pods.volumes, and write the "
            f"path in the pod, e.g. {MODEL_CACHE_PATH}/llama."
        )
    return f"vLLM cannot load from {scheme[0]}, only from {', '.join(OBJECT_STORES)}, a repository or a path."


MODEL: Final = Form("a model repository or path", "Qwen/Qwen2.5-7B-Instruct", _model)
REVISION: Final = Form(
    "a commit", "a09a35458c702b33eeacc393d103063234e8bc28", matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
)
# https://github.com/distribution/reference/blob/main/regexp.go
_IMAGE_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/"
_IMAGE_PART = r"[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE_TAG = r":[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_NAMED = rf"(?=[^@]{{1,256}}(@|$))({_IMAGE_HOST})?{_IMAGE_PART}(/{_IMAGE_PART})*({_IMAGE_TAG})?"
_IMAGE = matching(rf"{_NAMED}@sha256:[0-9a-f]{{64}}")
_UNPINNED = matching(_NAMED)


def _image(text: str) -> str | None:
    if _IMAGE(text) is None:
        return None
    if scheme := re.match(r"[a-z]+://", text):
        return f"Remove {scheme[0]}."
    if _IMAGE(text.replace(":sha256:", "@sha256:")) is None:
        return "Write @ before sha256."
    if _UNPINNED(text) is None:
        return f"Its digest is shown by: docker buildx imagetools inspect {text}"
    return "Write it in small letters." if _IMAGE(text.lower()) is None else ""


IMAGE: Final = Form("an image pinned by its digest", "vllm/vllm-openai@sha256:<64 hex digits>", _image)
FILE_NAME: Final = Form(
    "a file name: letters, digits, dots, dashes and underscores", "system.txt", matching(r"(?!\.)[A-Za-z0-9._-]{1,100}")
)
_ADAPTER_PATH = matching(r"/[A-Za-z0-9._/+-]{0,498}[A-Za-z0-9._+-]")


def _adapter_path(text: str) -> str | None:
    if _ADAPTER_PATH(text) is None:
        return None
    return "Remove the slash at its end." if _ADAPTER_PATH(text.rstrip("/")) is None else ""


ADAPTER_PATH: Final = Form("an absolute path", "/adapters/legal", _adapter_path)
ADAPTER_NAME: Final = Form("an adapter's name", "legal", matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"))

SubnetId = Annotated[str, SUBNET]
Cidr = Annotated[str, NETWORK]


def all_different(items: tuple[str, ...]) -> tuple[str, ...]:
    """Return the items of a list in which none may be named twice."""
    if twice := [item for item, count in Counter(items).items() if count > 1]:
        raise wrong(Violation((), f"must not name {', '.join(twice)} more than once", value=items))
    return items

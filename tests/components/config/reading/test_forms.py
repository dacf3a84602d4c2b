"""The formats of texts: for each, the oddest texts that it takes, and their nearest neighbours that it refuses."""

from importlib import import_module
from itertools import product
from pkgutil import walk_packages

import pytest

import components.config
from components.config.reading.forms import Form

MODULES = [import_module(one.name) for one in walk_packages(components.config.__path__, "components.config.")]
FORMS = {name: one for module in MODULES for name, one in vars(module).items() if isinstance(one, Form)}

A = "a"
AWS = "arn:aws"
HERE = "us-east-1:123456789012"
UUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
POLICY = f"{AWS}:iam::123456789012:policy/"
GROUP = f"{AWS}:resource-groups:{HERE}:group/"
LISTENER = f"{AWS}:elasticloadbalancing:{HERE}:listener/app"
DIGEST = f"@sha256:{'0' * 64}"
LABEL = "a" * 63
NOT_URLS = [
    *("", "l:80", "ftp://l", "https://", "https://u@l", "https://:p@l", "https://l?", "https://l#x", "https://é"),
    *("https://l:0", "https://l:65536", "https://l:x", "https://a b", "https://-a", "https://[::1", "https://l\t"),
]
TIMES = ["2026-11-22T08:00:00Z", "2026-11-22t08:00:00.123456+02:00", "2028-02-29T23:59:59-12:00"]
NOT_TIMES = [
    *("2026-11-22T08:00:00", "2026-02-29T08:00:00Z", "2026-11-22 08:00:00Z", "2026-11-22T08:00:00.1234567Z"),
    *("2026-11-22T08:00:00+0200", "2026-11-22T24:00:01Z", "2026-11-22T08:00Z", "0001-01-01T00:00:00+01:00"),
]


def ids(kind: str) -> tuple[list[str], list[str]]:
    """An AWS id: the kind, a dash, and at most 8 or exactly 17 hex digits."""
    good, bad = ("0", "f" * 8, "f" * 17), ("", "f" * 9, "f" * 16, "f" * 18, "g", "F", "0 ")
    return [f"{kind}-{one}" for one in good], [f"{kind}0", f"x{kind}-0", *(f"{kind}-{one}" for one in bad)]


# By the form's name: what it takes, what it refuses.
TEXTS: dict[str, tuple[list[str], list[str]]] = {
    "EKS_NAME": (["0", "A_-", A * 100], ["", A * 101, "-a", "_a", "a b", "a.b"]),
    "SECURITY_GROUP": ids("sg"),
    "VPC": ids("vpc"),
    "SUBNET": ids("subnet"),
    "RESERVATION": ids("cr"),
    "POLICY": (
        [f"{AWS}-us-gov:iam::aws:policy/A", f"{POLICY}a/b+=,.@_-", POLICY + A * 600],
        [POLICY, POLICY + A * 601, f"{POLICY}a b", f"{AWS}:iam::1:policy/a", f"{AWS}:iam::aws:role/a"],
    ),
    "RESERVATION_GROUP": (
        [f"{GROUP}a_.-/0a", GROUP + A * 300],
        [GROUP, GROUP + A * 301, f"{GROUP}a/A", f"{AWS}:resource-groups::123456789012:group/a"],
    ),
    "SLICE_LABEL": (
        ["model_name", "_a", A * 100, "engine", "pod"],
        ["", "1a", "a-b", "a b", A * 101, "__name__", "color", "service", "le", "status", "finished_reason"],
    ),
    "AMI_RELEASE": (
        ["1.33.4-20260801", "1.33.14-20991231"],
        ["1.3.4-20260801", "1.333.4-20260801", "1.33.123-20260801", "1.33.4-2026081", "1.33.4-19991231"],
    ),
    "CERTIFICATE": (
        [f"{AWS}-us-gov:acm:us-gov-west-1:123456789012:certificate/{UUID}"],
        [
            f"{AWS}:acm:{HERE}:certificate/{UUID[1:]}",
            f"{AWS}:acm:{HERE}0:certificate/{UUID}",
            f"{AWS}:iam:{HERE}:x/{UUID}",
        ],
    ),
    "KMS_KEY": (
        [f"{AWS}:kms:{HERE}:key/{UUID}", f"{AWS}-cn:kms:{HERE}:key/mrk-{'0' * 32}"],
        [f"{AWS}:kms:{HERE}:key/{'0' * 31}", f"{AWS}:kms:{HERE}:key/{'0' * 37}", f"{AWS}:kms:{HERE}:alias/a"],
    ),
    "NETWORK": (
        ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:DB8::/32"],
        ["", "10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "2001:db8::1/32", "::/129", "/8"],
    ),
    "SERVICE_NAME": (["a", "a-1", A * 18], ["", A * 19, "1a", "a-", "-a", "A", "a_b"]),
    "NAMESPACE": (["0a", "defaults", "a-kube-b", LABEL], ["", "default", "kube-x", A * 64, "a-", "-a", "A", "a.b"]),
    "ANY_NAMESPACE": (["0a", "kube-system", "default", LABEL], ["", A * 64, "a-", "-a", "A", "mon.itoring"]),
    "MODEL_NAME": (["O/m_1.5:x@y+z-", A * 200], ["", A * 201, "/a", "-a", "a b"]),
    "BASE_URL": (["http://l", "https://a-b.c:65535", "http://[::1]:80"], [*NOT_URLS, "https://l/", "https://l/v1"]),
    "JUDGE_URL": (["http://l", "https://l/v1/"], [*NOT_URLS, "https://l/v1/chat/completions", "https://l/v1/chat/"]),
    "SCORE_FILE": (["a", "*.json", "**/a_*.json", "a/**/b"], ["", "/a", "../a", "a/../b", "{folder}/a", "**a", "a\n"]),
    "URL": (["http://l", "https://l/", "https://l:1/a(b)!~"], [*NOT_URLS, "http://l/a b", "http://l/a?b"]),
    "STORE_URL": (
        ["s3://a.b", f"s3://{LABEL}/", f"s3://abc/{A * 500}", "file:///", "file:///a=_/%20@+-."],
        ["s3://ab", f"s3://{A * 64}", "s3://Abc", "s3://abc/a?b", f"s3://abc/{A * 501}", "file://a", "file:///?", "/a"],
    ),
    "TIME": (TIMES, ["", *NOT_TIMES]),
    "TIME_OR_EMPTY": (["", *TIMES], NOT_TIMES),
    "ANNOUNCEMENT": (["", "7 x", "1234567890 two words"], ["7", "7 ", "7  x", "x", "12345678901 x", "7 a\tb"]),
    "PATH": ([" ", "a", "/a/", A * 500], ["", "/", "//", "a:b", A * 501, "a\x1f"]),
    "PATH_OR_S3": (
        ["/a", A * 500, "s3://abc/", "s3://a.b/x: "],
        ["", "//", A * 501, "s3://abc", "s3://ab/", "s3://Abc/", "s3://abc/\x1f"],
    ),
    "MODEL": (
        ["org/m_1.0=+-", "s3://b/x/", "/m", "/m/a.b/", "org/m/q4.gguf", A * 500, f"{A * 100}/{A * 100}:{A * 40}"],
        [
            *("", A * 501, "-a", "a b", "S3://x", "hf://", "a:b", "1x://a", "a/b/c:d", "a/b:", f"a/b:{A * 41}", "a."),
            *("/", "//a", "/a//b", "a/", "a//b", "a/b/c", "s3://", "s3:///a", "./a", "a/b/c/d.gguf"),
        ],
    ),
    "REVISION": (["c0ffee0", "v1.0", A * 128], ["", A * 129, "-a", ".a", "refs/x"]),
    "IMAGE": (
        [f"a{DIGEST}", f"r.io:5000/a_b-c/d__e{DIGEST}", f"R.io/a:V_1.0-x{DIGEST}", A * 256 + DIGEST],
        [
            *(DIGEST, "a:latest", f"a{DIGEST[:-1]}", f"a{DIGEST}0", f"A{DIGEST}", f"a{DIGEST[:-1]}F", A * 257 + DIGEST),
            *(f"https://r.io/a{DIGEST}", f"a//b{DIGEST}", f"a:b:c{DIGEST}", f"r.io/A{DIGEST}", f"a/{DIGEST}"),
        ],
    ),
    "FILE_NAME": (["a..b_-", "-", "A" * 100], ["", ".a", "a/b", "a b", A * 101]),
    "ADAPTER_NAME": (["0", "a._-", A * 100], ["", ".a", "-a", "a/b", A * 101]),
    "ADAPTER_PATH": (["/a", "/A._/+-", f"/{A * 499}"], ["", "/", "a", "/a/", "/a b", f"/{A * 500}"]),
    "VARIABLE_NAME": (["_", "a1_", A * 200], ["", "1a", "a-b", "a b", A * 201]),
    "MOUNT_PATH": (
        ["/a", "/A._-/..a/.b", f"/{A * 100}" * 10],
        ["", "/", "a", "/a/", "//a", "/.", "/..", "/a/../b", "/a b", f"/{A * 101}", "/a" * 11],
    ),
    "WORD": (["x", "a b", "-\n"], ["", " a", "\na"]),
    "OBJECT_NAME": (
        ["0", "a-b.c", f"{LABEL}." * 3 + A * 61],
        ["", A * 64, "A", "-a", "a-", "a.", "a..b", f"{LABEL}." * 3 + A * 62],
    ),
    "SECRET_KEY": (["a", ".a", "A-_", A * 253], ["", ".", "..", "..a", A * 254, "a/b", "a b"]),
    "LABEL_NAME": (
        ["a", "a.b/A_.-c", LABEL, f"{LABEL}/a"],
        ["", "/a", "a/", "A/a", "-a", "a-", A * 64, f"{A * 64}/a", "a/b/c"],
    ),
    "ZONE": (
        ["us-east-1a", "us-gov-west-1b", "us-west-2-lax-1a", "ap-northeast-1c"],
        ["", "us-east-1", "us-east-1A", "use1-az1", "us-east-1a ", "a"],
    ),
    "LABEL_VALUE": (["a", "A_.-0", LABEL], ["", "-a", "a-", A * 64, "a/b"]),
    "LISTENER": (
        [f"{LISTENER}/A-0/0a/f", "/".join((LISTENER, A * 32, A * 32, A * 32))],
        [f"{LISTENER}/a/0", f"{LISTENER}//0/0", f"{LISTENER}/a/g/0", f"{LISTENER}/a/0/g".replace("app", "net")]
        + ["/".join((LISTENER, *sizes)) for sizes in ((A * 33, A, A), (A, A * 33, A), (A, A, A * 33))],
    ),
    "TOPIC": (
        [f"{AWS}:sns:{HERE}:A_-0", f"{AWS}:sns:{HERE}:{A * 256}"],
        [f"{AWS}:sns:{HERE}:", f"{AWS}:sns:{HERE}:{A * 257}", f"{AWS}:sqs:{HERE}:a", f"{AWS}:sns:{HERE}:a:b"],
    ),
    "HOST": (
        ["a.bc", "0-a.b.com", f"{LABEL}.{A * 61}.bc", f"{A}.{LABEL}"],
        ["", "chat", "*.a.b", "A.bc", "a.bc.", "a.c", "10.0.0.1", "-a.bc", f"{A * 64}.bc", f"{LABEL}.{A * 62}.bc"],
    ),
    "BUCKET": (["abc", "a.b-c", "0-0", LABEL], ["", "ab", A * 64, "Abc", "a..b", "-ab", "ab-", "ab."]),
    "PREFIX": (["", "a", "A._-/b/c"], ["/", "/a", "a/", "a//b", "AWSLogs", "a/xAWSLogsx/b", "a b"]),
    "USERNAME": (["a", "a b@c/ü", A * 200], ["", "a:b", "a\n", "\x7f", A * 201]),
    "REGION": (
        ["us-east-1", "us-gov-west-1", "eusc-de-east-10", f"us-{A * 12}-1"],
        ["", "us-east-1a", "us-east", "u-east-1", "US-EAST-1", "us-1", "us-east-100", f"us-{A * 13}-1", "us-a-b-c-d-1"],
    ),
    "SIGNING_NAME": (["aps", "a-1", f"a{A * 40}"], ["", "a", "1a", "Aps", "a_b", f"a{A * 41}"]),
    "COHORT": (["a", "a-1", A * 16], ["", "1a", "-a", "A", "a b", "a:b", A * 17]),
    "COHORT_HEADER": (
        ["X-Tenant", "!#$%&'+-.^_`|~", A * 40],
        ["", "a:", "a b", "ä", A * 41, "Host", "authorization", "X-Candidate-Route"],
    ),
    "COHORT_VALUE": (["a", "a b|c", "*-?", A * 128], ["", " a", "a ", "a\\b", "a\nb", "ä", "a\x7f", A * 129]),
    "HEADER_NAME": (["X-Scope-OrgID", "!#$%&'*+-.^_`|~", A * 100], ["", "a:", "a b", "a\n", "ä", A * 101]),
    "HEADER_VALUE": (["a", "a b|c", A * 1000], ["", " a", "a ", "a\nb", "ä", "a\x7f", A * 1001]),
    "KEDA_HEADER_VALUE": (["tenant-1", "a|b", A * 500], ["", "a b", "a,b", "a=b", "ä", A * 501]),
    "INSTANCE_TYPE": (["g6e.2xlarge", "p5.48xlarge"], ["", "m5.large", "g6f.xlarge", "p5.48xlarge "]),
}


def test_every_form_is_here() -> None:
    assert set(FORMS) == set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_form_takes_and_refuses(name: str) -> None:
    form, (good, bad) = FORMS[name], TEXTS[name]
    assert [text for text in good if form.check(text) is not None] == []
    assert [text for text in bad if form.check(text) is None] == []
    if "<" not in form.example:
        assert form.check(form.example.strip('"')) is None


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "WORD"])
def test_no_form_takes_a_line_break_at_the_end(name: str) -> None:
    broken = ["".join(pair) for pair in product(TEXTS[name][0], "\n\r")]
    assert [text for text in broken if FORMS[name].check(text) is None] == []


@pytest.mark.parametrize(
    ("form", "text", "hint"),
    [
        ("IMAGE", "vllm/vllm-openai:v0.30.0", "docker buildx imagetools inspect vllm/vllm-openai:v0.30.0"),
        ("IMAGE", f"docker://vllm/vllm-openai{DIGEST}", "Remove docker://."),
        ("IMAGE", f"vllm/vllm-openai:{DIGEST[1:]}", "Write @ before sha256."),
        ("IMAGE", f"a@sha256:{'A' * 64}", "Write it in small letters."),
        ("IMAGE", "a:b:c", ""),
        ("MODEL", "org/m@0a1b2c3", "Write org/m, and set model_revision to 0a1b2c3."),
        ("MODEL", "./m", "A path is one in the pod, and begins with /."),
        ("MODEL", "a/b/c", "A repository is an owner, a slash and a name; a path begins with /."),
        ("VPC", f"vpc-{'0' * 18}", "After vpc- come 17 digits and letters, in older ids 8; these are 18."),
        ("SUBNET", f"subnet-{'0' * 16}", "After subnet- come 17 digits and letters, in older ids 8; these are 16."),
        ("ADAPTER_PATH", "/a/", "Remove the slash at its end."),
    ],
)
def test_a_hint_says_how_to_write_it(form: str, text: str, hint: str) -> None:
    found = FORMS[form].check(text)
    assert found is not None
    assert found.endswith(hint)

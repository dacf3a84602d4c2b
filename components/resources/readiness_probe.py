"""The readiness probe of a vLLM pod, run inside its container: the right model is loaded and generates tokens.

`/health` passes as long as the engine's process lives; this probe requests one token. It uses only the standard
library, because it runs every few seconds beside a serving engine, with the image's own Python.
"""

import argparse
import http.client
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any


class NotReady(Exception):  # noqa: N818 - a state, not an error
    """The pod is not ready; the message says why."""


def main() -> None:
    """Exit 0 when the pod is ready; otherwise say why not and exit 1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--served-model-name", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threshold-seconds", type=float, required=True)
    options = parser.parse_args()
    try:
        headers = authorization(os.environ.get("VLLM_API_KEY"))
        pod = ProbedPod(os.environ["POD_IP"], options.port, options.threshold_seconds, headers)
        check_identity(pod, options.served_model_name, options.model)
        check_inference(pod, options.served_model_name)
    except (NotReady, OSError, http.client.HTTPException, ValueError) as reason:
        raise SystemExit(f"not ready: {reason}") from None


def authorization(api_key: str | None) -> dict[str, str]:
    """Return the header for the server's API key; raise NotReady when no header can contain the key."""
    if not api_key:
        return {}
    if not re.fullmatch(r"[!-~]+", api_key):
        # The message does not show the key: a probe's output is in the pod's events.
        raise NotReady("VLLM_API_KEY is not one word of ASCII characters (does the Secret's value end in a newline?)")
    return {"Authorization": f"Bearer {api_key}"}


class ProbedPod:
    """HTTP requests to this pod, with one deadline for all of them."""

    def __init__(
        self, address: str, port: int, threshold_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self.port = port
        self.headers = dict(headers or {})
        self.deadline = time.monotonic() + threshold_seconds

    def request(self, path: str, body: Any = None, *, grace_seconds: float = 0) -> bytes:
        """Return the answer's body; raise NotReady when its status is not 200, TimeoutError after the deadline."""
        left_seconds = max(self.deadline - time.monotonic(), 0.001) + grace_seconds
        connection = http.client.HTTPConnection(self.address, self.port, timeout=left_seconds)
        try:
            if body is None:
                connection.request("GET", path, headers=self.headers)
            else:
                headers = {"Content-Type": "application/json", **self.headers}
                connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise NotReady(f"{path} answered {answer.status}")
        return content


def check_identity(pod: ProbedPod, served_model_name: str, model: str) -> None:
    """Raise NotReady unless the pod serves the model of its release under the name that clients request."""
    roots = {card["id"]: card.get("root") for card in json.loads(pod.request("/v1/models"))["data"]}
    if served_model_name not in roots:
        raise NotReady(f"serves {sorted(roots)}, not {served_model_name}")
    if roots[served_model_name] != model:
        raise NotReady(f"{served_model_name} is {roots[served_model_name]}, not {model}")


def check_inference(pod: ProbedPod, served_model_name: str) -> None:
    """Raise NotReady unless the engine generates a token in time, for the probe or for another request.

    When the queue is full, the probe's own request waits. Taking busy pods out of service would move their load to
    the other pods until none is left. So an engine that generates tokens for other requests counts as ready.
    """
    tokens_before = generated_tokens(pod)
    try:
        body = {"model": served_model_name, "prompt": "ready", "max_tokens": 1, "temperature": 0}
        choices = json.loads(pod.request("/v1/completions", body))["choices"]
    except TimeoutError:
        if generated_tokens(pod, grace_seconds=1) > tokens_before:
            return
        raise NotReady("no token was generated in time, neither for the probe nor for other requests") from None
    reason = choices[0].get("finish_reason")
    if reason not in ("stop", "length"):
        raise NotReady(f"the inference ended with {reason}")


def generated_tokens(pod: ProbedPod, *, grace_seconds: float = 0) -> float:
    """Return how many tokens the engine has generated since it started."""
    lines = pod.request("/metrics", grace_seconds=grace_seconds).decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:generation_tokens_total"))


if __name__ == "__main__":
    main()

"""Readiness of one vLLM pod, run inside its container: the right model is there, and it answers.

`/health` is true as long as the engine's process lives; this asks for one token. Standard library only, since it runs
every few seconds beside a serving engine, under whatever Python the image brings.
"""

import argparse
import http.client
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any


class NotReady(Exception):  # noqa: N818 - a state, not a violation
    """Why no request should be sent here."""


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
        pod = Pod(os.environ["POD_IP"], options.port, options.threshold_seconds, headers)
        check_identity(pod, options.served_model_name, options.model)
        check_inference(pod, options.served_model_name)
    except (NotReady, OSError, http.client.HTTPException, ValueError) as reason:
        raise SystemExit(f"not ready: {reason}") from None


def authorization(api_key: str | None) -> dict[str, str]:
    """Return the header that the server's own key asks for; raises NotReady when no header can carry it."""
    if not api_key:
        return {}
    if not re.fullmatch(r"[!-~]+", api_key):
        # Said without the key: whatever a probe says is in the pod's events.
        raise NotReady("VLLM_API_KEY is not one word of plain characters (does the Secret's value end in a newline?)")
    return {"Authorization": f"Bearer {api_key}"}


class Pod:
    """HTTP requests to this pod, together within a deadline."""

    def __init__(
        self, address: str, port: int, threshold_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self.address = address
        self.port = port
        self.headers = dict(headers or {})
        self.deadline = time.monotonic() + threshold_seconds

    def request(self, path: str, body: Any = None, *, grace_seconds: float = 0) -> bytes:
        """Return the answer's body; raises NotReady when its status is not 200, TimeoutError past the deadline."""
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


def check_identity(pod: Pod, served_model_name: str, model: str) -> None:
    """Raise NotReady unless the pod serves the name that clients ask for, from the model that was released."""
    roots = {card["id"]: card.get("root") for card in json.loads(pod.request("/v1/models"))["data"]}
    if served_model_name not in roots:
        raise NotReady(f"serves {sorted(roots)}, not {served_model_name}")
    if roots[served_model_name] != model:
        raise NotReady(f"{served_model_name} is {roots[served_model_name]}, not {model}")


def check_inference(pod: Pod, served_model_name: str) -> None:
    """Raise NotReady unless one token comes in time, or others' tokens do.

    Under a full queue the probe's own request waits its turn. Taking busy pods out of service would move their load
    to the rest until none is left, so an engine that generates for others counts as ready.
    """
    tokens_before = generated_tokens(pod)
    try:
        body = {"model": served_model_name, "prompt": "ready", "max_tokens": 1, "temperature": 0}
        choices = json.loads(pod.request("/v1/completions", body))["choices"]
    except TimeoutError:
        if generated_tokens(pod, grace_seconds=1) > tokens_before:
            return
        raise NotReady("no token came in time, and none for other requests") from None
    reason = choices[0].get("finish_reason")
    if reason not in ("stop", "length"):
        raise NotReady(f"the inference ended with {reason}")


def generated_tokens(pod: Pod, *, grace_seconds: float = 0) -> float:
    """Return how many tokens the engine has generated since it started."""
    lines = pod.request("/metrics", grace_seconds=grace_seconds).decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:generation_tokens_total"))


if __name__ == "__main__":
    main()

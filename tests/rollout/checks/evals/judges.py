"""Judges for tests: they answer as an OpenAI-compatible API, and choose by what they see in the answers."""

import json
import re
from collections.abc import Callable

import httpx

Decides = Callable[[str, str], str]
"""Returns A, B or TIE for the two answers in their order."""

_SEEN = re.compile(r"<answer-A>\n(.*)\n</answer-A>\n\n<answer-B>\n(.*)\n</answer-B>", re.DOTALL)


def fair(one: str, other: str) -> str:
    """Prefer the answer with a right sum."""

    def right(text: str) -> bool:
        found = re.search(r"(\d+) \+ (\d+) = (\d+)", text)
        return found is not None and int(found[1]) + int(found[2]) == int(found[3])

    if right(one) == right(other):
        return "TIE"
    return "A" if right(one) else "B"


class JudgeServer:
    """The API of a judge."""

    def __init__(self, decides: Decides = fair) -> None:
        self.decides = decides
        self.requests: list[httpx.Request] = []
        self.statuses: list[int] = []
        """The statuses of the next answers. Then 200."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.statuses:
            return httpx.Response(self.statuses.pop(0), text=f"no: {request.headers.get('authorization')}")
        shown = _SEEN.search(json.loads(request.content)["messages"][1]["content"])
        assert shown is not None
        message = {"role": "assistant", "content": f"Because. [[{self.decides(shown[1], shown[2])}]]"}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

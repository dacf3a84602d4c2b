"""Both colours behind one endpoint: each request goes to the server that its secret header names."""

import httpx

from components.domain.naming import Color


class Router(httpx.BaseTransport):
    """Routes a request by its secret header, as the candidate rules do."""

    def __init__(self, ports: dict[Color, int]) -> None:
        self.ports = ports
        self._transport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        color: Color = "green" if request.headers.get("x-candidate-route") == "green-s3cret" else "blue"
        request.url = request.url.copy_with(host="127.0.0.1", port=self.ports[color])
        return self._transport.handle_request(request)

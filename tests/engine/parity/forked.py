"""Runs `python ARGUMENTS` in a fork of the fork server: `python -I -S forked.py SOCKET ARGUMENTS`.

For the real CLI, which starts programs and plugins itself. It imports next to nothing, so that it starts at once.
"""

import json
import os
import signal
import socket
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt ends it without words
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    cwd = os.getcwd()  # noqa: PTH109 (pathlib would double the time that this takes)
    request = {"arguments": sys.argv[2:], "cwd": cwd, "environment": dict(os.environ)}
    text = json.dumps(request).encode() + b"\n"
    sent = socket.send_fds(connection, [text], [0, 1, 2])
    connection.sendall(text[sent:])
    answer = connection.recv(64)
sys.exit(int(answer) if answer else 1)

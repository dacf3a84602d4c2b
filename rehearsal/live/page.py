"""The live page: one file of HTML. It follows a rehearsal by server-sent events, or plays a recording."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from rollout.report.page import environment, script_json

_FOLDER = Path(__file__).parent


def live_page(frames: Sequence[str] | None) -> str:
    """Return the page. With ``frames``, each as JSON, it plays them; without, it follows its server."""
    script = Markup((_FOLDER / "live.js").read_text(encoding="utf-8"))
    style = Markup((_FOLDER / "live.css").read_text(encoding="utf-8"))
    data = "null" if frames is None else f"[{','.join(frames)}]"
    template = environment(_FOLDER).get_template("live.html.jinja")
    return template.render(live_script=script, live_style=style, data=script_json(data), recorded=frames is not None)


def recorded_frames(page: str) -> list[str]:
    """Return the frames of a recording, each as JSON.

    Raises:
        ValueError: the page is no recording.
    """
    found = re.search(r'<script type="application/json" id="frames">(\[.*?\])</script>', page, re.DOTALL)
    if found is None:
        raise ValueError("the page is no recording: it has no frames")
    return [json.dumps(frame, separators=(",", ":")) for frame in json.loads(found[1])]

"""The files of a report: the page and its JSON, for a person's disk and for the store of the stack's records.

The JSON is an evidence bundle: it has the digests of what the report was made from, and of itself.
"""

import json
from typing import Any, Final

from pydantic import TypeAdapter

from components.domain.evidence import sealed
from rollout.journal.store import Store, StoreConflictError
from rollout.report.explanation import Explanation
from rollout.report.facts import Report
from rollout.report.page import render

_REPORT: Final = TypeAdapter(Report)
_EXPLANATION: Final = TypeAdapter(Explanation)


def as_json(report: Report, explanation: Explanation) -> str:
    """Return a report as one JSON object, which is an evidence bundle."""
    return json.dumps(bundle_of(report, explanation), indent=2, ensure_ascii=False)


def bundle_of(report: Report, explanation: Explanation) -> dict[str, Any]:
    """Return a report as an evidence bundle, in plain JSON values."""
    parts = {
        "explanation": _EXPLANATION.dump_python(explanation, mode="json"),
        "report": _REPORT.dump_python(report, mode="json"),
    }
    return sealed(parts)


def page(report: Report, explanation: Explanation) -> str:
    """Return a report as an HTML page."""
    return render(report, explanation, as_json(report, explanation))


def store_report(store: Store, service: str, report: Report, explanation: Explanation) -> str:
    """Write the page and its JSON to the store, over those of an earlier process. Return where the page is.

    Raises:
        StoreError: the store cannot be written.
    """
    key, text = page_key(service, report), as_json(report, explanation)
    _put(store, key.removesuffix(".html") + ".json", text)
    _put(store, key, render(report, explanation, text))
    return f"{store}/{key}"


def page_key(service: str, report: Report) -> str:
    """Return the key of a run's page in the store."""
    return f"reports/{service}/{report.began_at:%Y-%m-%dT%H%M%SZ}-{report.rollout}.html"


def _put(store: Store, key: str, text: str) -> None:
    content, former = text.encode(), store.read(key)
    try:
        if former is None:
            store.create(key, content)
        else:
            store.replace(key, content, former.version)
    except StoreConflictError:  # another process has just written the same run's report
        latest = store.read(key)
        if latest is not None:
            store.replace(key, content, latest.version)

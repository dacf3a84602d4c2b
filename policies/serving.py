"""Serving: pods that are ready only when they answer, that leave without dropping a request, and that are pinned."""

"""Reports as pages of their own: no script and no address in them does anything, and one style, known by its hash."""

import base64
import hashlib
from collections.abc import Callable

from fastapi import HTTPException
from fastapi.responses import Response

from accord.report.document import STYLE
from accord.web.runs.parts import STRANGE

POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def report(render: Callable[[], str], download: str = "") -> Response:
    """What `render` makes, to be looked at or, with a name, to be kept. Refused where a strange record breaks it."""
    try:
        text = render()
    except STRANGE:
        raise HTTPException(422, "no report: a record in it does not look as Accord writes it") from None
    headers = {"content-security-policy": POLICY}
    if download:
        headers["content-disposition"] = f'attachment; filename="{download}"'
    return Response(text.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers)

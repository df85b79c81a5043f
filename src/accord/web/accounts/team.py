"""What is there only where people log in with accounts."""

from typing import Annotated

from fastapi import Depends, Request

from accord.web.identity import Refused, site_of
from accord.web.site import Site


def team_site(request: Request) -> Site:
    """The site. Raises Refused where it is for one person."""
    site = site_of(request)
    if not site.team:
        raise Refused(404, "this server is for one person (start it with --team)")
    return site


OfTeam = Annotated[Site, Depends(team_site)]

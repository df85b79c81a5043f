"""Where a request comes from, and by which of the server's addresses."""

from ipaddress import IPv6Address, ip_address

from fastapi import Request

from accord.web.identity import site_of


def remote(request: Request) -> str:
    """The address of whoever asks; of an IPv6 address the first half, since people have all of a network's.

    Behind a proxy it is the last that X-Forwarded-For names, which the proxy wrote; what stands before it anybody may
    have written.
    """
    peer = request.client.host if request.client else ""
    said = request.headers.getlist("x-forwarded-for") if site_of(request).behind_proxy else []
    for written in (",".join(said).rpartition(",")[2].strip(), peer):
        try:
            address = ip_address(written)
        except ValueError:
            continue
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64)
        return str(address)
    return peer


def here(request: Request) -> str:
    """The address of this server as the browser knows it, for links that people send each other."""
    host = request.headers["host"].lower()
    known = [origin for origin in site_of(request).addresses.origins if origin.endswith(f"://{host}")]
    return max(known)  # https, where it is known by both

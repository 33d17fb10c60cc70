"""Why did a file not come? What requests says, in a few words."""

from __future__ import annotations


def reason(error: Exception) -> str:
    """What went wrong, in a few words: in requests it stands at a chain's end, behind the whole address."""
    cause: BaseException = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    by = "the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names: "
    return (by if type(error).__name__ == "ProxyError" else "") + _said(f"{error} {cause!r}", str(cause))


def _said(text: str, last: str) -> str:
    """`reason` by all that an error says, and what its last cause says."""
    if "timed out" in text.lower():
        return "no answer" if "connect timeout" in text else "the server stopped sending"
    if "NameResolution" in text or "Name or service" in text or "getaddrinfo" in text:
        return "the server's name is not known here (no network?)"
    if "Connection refused" in text:
        return "the connection was refused"
    if "IncompleteRead" in text or "Connection reset" in text or "RemoteDisconnected" in text:
        return "the connection broke off"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"its certificate is not trusted here ({last}); where your network puts in one of its own, "
            "REQUESTS_CA_BUNDLE names the file with those to trust"
        )
    if "SOCKS" in text:
        return "the proxy speaks SOCKS, which needs: pip install pysocks"
    return " ".join((last or text).split())[:160]

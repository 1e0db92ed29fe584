"""How names, header values and regular expressions must be spelt. Pure.

The rules are those of the Gateway API, and where it has none, Envoy's: Envoy refuses a whole route configuration for
one value that it does not take, and reports it nowhere but in its own log.
"""

import ipaddress
import re
import warnings
from typing import Final

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_HOSTNAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(\*\.)?{_LABEL}(\.{_LABEL})*")
CLIENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")  # of a client or a tenant
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_|~`]{1,256}")
_ONE_LINE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_HTTP_URL: Final = re.compile(
    r"https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(:(?P<port>[0-9]{1,5}))?(/[\x21-\x7e]*)?"
)
_PATH: Final = re.compile(r"([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
MOST_REPEATS: Final = 1000  # RE2's limit for one {n,m}
# What Python's expressions have and RE2's have not; sets are stepped over, but for their escapes.
_TOKEN: Final = re.compile(
    r"\\(?P<escape>.)"
    r"|\[\^?\]?(?P<set>(\\.|[^\]\\])*)\]"
    r"|(?P<group>\(\?(?!P<|[imsU]*(-[imsU]+)?[:)]))"
    r"|(?P<possessive>[*+?}]\+)"
    r"|\{(?P<least>[0-9]+)(,(?P<most>[0-9]*))?\}(?P<possessive_count>\+?)",
    re.DOTALL,
)


def is_name(text: str) -> bool:
    """Of an object: a DNS subdomain, which is also safe as part of a file's name."""
    return _NAME.fullmatch(text) is not None


def is_hostname(text: str, *, wildcard: bool = False) -> bool:
    return (_HOSTNAME if wildcard else _NAME).fullmatch(text) is not None


def ip_version(text: str) -> int | None:
    """4 or 6 for an IP address, else None."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return None


def is_header_name(text: str) -> bool:
    return _HEADER_NAME.fullmatch(text) is not None


def is_one_line(text: str) -> bool:
    """What a header can carry: no line breaks, no control characters."""
    return _ONE_LINE.fullmatch(text) is not None


def is_path(text: str) -> bool:
    """Of a request, to be matched whole or by its beginning."""
    return _PATH.fullmatch(text) is not None


def is_http_url(text: str) -> bool:
    """Of a server that is asked for something: a scheme, a host with or without a port, and a path."""
    found = _HTTP_URL.fullmatch(text)
    return found is not None and int(found["port"] or 1) in range(1, 65536)


def regex_fault(pattern: str) -> str | None:
    """Why Envoy would not take a regular expression; Python reads it first, then what RE2 lacks is looked for."""
    if not pattern:
        return "may not be empty"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # [[:alpha:]] is good RE2
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"not a regular expression: {error}"
    return next((fault for token in _TOKEN.finditer(pattern) if (fault := _token_fault(token))), None)


def _token_fault(token: "re.Match[str]") -> str | None:
    escapes = [token["escape"] or "", *re.findall(r"\\(.)", token["set"] or "", re.DOTALL)]
    strange = next((escape for escape in escapes if escape and escape in "123456789ZuUN"), None)
    if strange:
        return f"\\{strange} is not in Envoy's regular expressions (RE2)"
    if token["group"]:
        return "lookaround, comments and conditions are not in Envoy's regular expressions (RE2)"
    if token["possessive"] or token["possessive_count"]:
        return "possessive quantifiers are not in Envoy's regular expressions (RE2)"
    if max(int(token["least"] or 0), int(token["most"] or 0)) > MOST_REPEATS:
        return f"Envoy's regular expressions (RE2) repeat at most {MOST_REPEATS} times"
    return None

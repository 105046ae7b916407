"""What the settings say about topics: `[[route]]`. No I/O, no clock."""

import re

from bridge.errors import Misconfigured


def route_pattern(topic: str) -> re.Pattern[str]:
    """A filter whose levels may be named: ``plant/{site}/{device}/+``.

    >>> route_pattern("plant/{device}/#").fullmatch("plant/7/temp")["device"]
    '7'
    """
    text = re.escape(topic).replace(r"\+", "[^/]*").replace(r"/\#", "(?:/.*)?")
    text = re.sub(r"\\\{(site|device|class)\\\}", r"(?P<\1>[^/]+)", text.replace(r"\#", ".*"))
    if r"\{" in text or r"\}" in text or "#" in topic[:-1]:
        expected = "the parts {site} {device} {class}, + and, at the end, #"
        raise Misconfigured("route.topic", expected, topic)
    try:
        return re.compile(text, re.DOTALL)
    except re.error as error:
        raise Misconfigured("route.topic", "each part named once", f"{topic} ({error})") from None

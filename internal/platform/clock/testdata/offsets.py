"""Prints as JSON what PyPI's tzdata says of every time zone: {"version", "zones": {name: [[from second, offset in seconds], ...]}}.

Arguments: the path of the wheel, and the first second looked at and the one after the last, since the Unix epoch. The first pair of a
zone is its offset at the beginning; one follows for each second at which the offset changes.
"""

import json
import sys
import zoneinfo
from datetime import datetime
from importlib import resources

wheel, begin, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, wheel)
zoneinfo.reset_tzpath(to=[])  # The machine's own rules are older or newer.

import tzdata  # noqa: E402

# No two changes of a zone are as near to each other.
STEP = 3 * 86_400


def rules(name):
    """The compiled rules of a zone: links have those of their targets."""
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


def steps(name):
    zone = zoneinfo.ZoneInfo(name)

    def offset(second):
        return int(datetime.fromtimestamp(second, zone).utcoffset().total_seconds())

    found = [[begin, offset(begin)]]
    for last in range(min(begin + STEP, end) - 1, end + STEP - 1, STEP):
        last = min(last, end - 1)
        while offset(last) != found[-1][1]:
            low, high = max(last - STEP, found[-1][0]), last
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == found[-1][1] else (low, middle)
            found.append([high, offset(high)])
    return found


known = {}
zones = {}
for name in resources.files("tzdata").joinpath("zones").read_text().split():
    of = rules(name)
    if of not in known:
        known[of] = steps(name)
    zones[name] = known[of]
print(json.dumps({"version": tzdata.IANA_VERSION, "zones": zones}))

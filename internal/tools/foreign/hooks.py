"""What Schemathesis is to know of Muin."""

import re

import schemathesis

# Reasons of a request that could not be read at all.
UNREADABLE = {"REQUEST_MALFORMED", "QUERY_PARAMETER_INVALID"}

# How protovalidate says that a rule of the schema is broken.
RULE = re.compile(r"^(must (be|have|match|contain|not be) .*(characters|items|pairs|bytes|pattern|greater|less|unique)|does not match regex|value is required|exactly one field is required)")


@schemathesis.check
def what_the_schema_admits_keeps_the_rules(ctx, response, case):
    """A request that keeps the schema is read, and breaks none of the rules of which the schema is made."""
    if response.status_code != 400 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for detail in response.json()["error"].get("details", []):
        reason = detail.get("reason")
        assert reason not in UNREADABLE, f"a request that keeps the schema is {reason}"
        for violation in detail.get("fieldViolations", []):
            assert not RULE.match(violation["description"]), f"the schema lacks a rule: {violation}"

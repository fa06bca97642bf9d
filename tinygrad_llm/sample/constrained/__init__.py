"""Text that keeps to a regular expression or a JSON schema: masks over the tokens."""

from .constraint import Constraint, regular_expression
from .schema import json_schema, read_schema

__all__ = ["Constraint", "json_schema", "read_schema", "regular_expression"]

"""Text that keeps to a regular expression or a JSON schema: masks over the tokens."""

"""From tokens to the inputs and targets of a step."""

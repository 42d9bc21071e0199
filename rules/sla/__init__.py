"""``sla.yaml``: the clocks, what starts and stops them, and what happens along the way."""

"""Wiring: settings, connections and the daemon made of them. Nothing else knows which part is made of which."""

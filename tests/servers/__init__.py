"""Real servers for tests, started without Docker from the machine's own Python environment."""

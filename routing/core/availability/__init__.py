"""When people work, and why somebody cannot receive a lead right now. Pure."""

"""Public holidays of countries and their regions, worked out from rules."""

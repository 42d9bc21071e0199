"""Who shares what, and when people work: ``pools.yaml``, ``people.csv``, ``calendars.yaml``, ``time_off.csv``."""

"""The gates that decide whether a run may be promoted."""

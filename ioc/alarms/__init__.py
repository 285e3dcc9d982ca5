"""Alarms: rules, the state machine, grouping into incidents, and the engine around them."""

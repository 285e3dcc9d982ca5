"""A city that speaks to the broker as devices do: weather, tide, traffic, lamps and cameras that follow each other.

The city itself is pure: the same seed, place and time give the same value, whoever asks and however often. Only
`link.py`, `service.py` and `storm.py` touch the network, and they know nothing of storage: what is simulated arrives
exactly as a device's message would.
"""

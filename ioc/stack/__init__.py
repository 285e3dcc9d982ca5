"""The embedded stack: private TimescaleDB, Mosquitto and Redis, and the supervisor of the services."""

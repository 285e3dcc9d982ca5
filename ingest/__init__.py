"""MQTT in, canonical records into TimescaleDB, live changes into Redis."""

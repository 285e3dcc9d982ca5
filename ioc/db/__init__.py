"""TimescaleDB: pool, migrations, the one COPY writer, queries by subject."""

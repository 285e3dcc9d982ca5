# Alarms, upkeep and migrations; the command `ioc`.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY docker/locks/build.txt docker/locks/runtime.txt /locks/
RUN /venv/bin/pip install --no-deps --require-hashes -r /locks/build.txt -r /locks/runtime.txt
COPY setup.cfg pyproject.toml README.md LICENSE /source/
COPY ioc /source/ioc
RUN /venv/bin/pip install --no-deps --no-build-isolation /source && /venv/bin/pip uninstall --yes setuptools wheel

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/ioc --create-home ioc
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER ioc
CMD ["ioc", "--help"]

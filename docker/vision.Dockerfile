# The detector: target `cpu` with OpenVINO, target `gpu` with torch and CUDA.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
COPY docker/locks/build.txt docker/locks/runtime.txt docker/locks/faces.txt /locks/
RUN /venv/bin/pip install --no-deps --require-hashes -r /locks/build.txt -r /locks/runtime.txt -r /locks/faces.txt
COPY setup.cfg pyproject.toml README.md LICENSE /source/
COPY ioc /source/ioc
COPY vision /source/vision
RUN /venv/bin/pip install --no-deps --no-build-isolation /source && /venv/bin/pip uninstall --yes setuptools wheel

FROM build AS build-gpu
COPY docker/locks/ultralytics.txt /locks/
# CUDA comes inside torch's own wheels; the driver comes from the host.
RUN /venv/bin/pip install torch==2.13.0 torchvision==0.28.0 \
    && /venv/bin/pip install --no-deps --require-hashes -r /locks/ultralytics.txt

FROM python:3.11-slim AS base
RUN useradd --system --uid 10001 --home-dir /var/lib/ioc --create-home ioc
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER ioc
CMD ["ioc-vision"]

FROM base AS cpu
COPY --from=build /venv /venv

FROM base AS gpu
COPY --from=build-gpu /venv /venv
ENV YOLO_AUTOINSTALL=false YOLO_OFFLINE=true YOLO_CONFIG_DIR=/tmp/ultralytics

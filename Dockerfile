# One image for every Airflow component: Airflow, this package, Java for Spark. Tasks run in the scheduler's container.
# Debian 12 on purpose: it is the last one that carries Java 17.
FROM python:3.11-slim-bookworm AS build
ENV VIRTUAL_ENV=/srv/venv UV_LINK_MODE=copy UV_NO_CACHE=1
WORKDIR /build
COPY requirements/bootstrap.txt requirements/deploy.txt requirements/
RUN python -m venv "$VIRTUAL_ENV" \
    && "$VIRTUAL_ENV/bin/pip" install --no-cache-dir --require-hashes -r requirements/bootstrap.txt \
    && "$VIRTUAL_ENV/bin/uv" pip sync --require-hashes --compile-bytecode requirements/bootstrap.txt requirements/deploy.txt
COPY pyproject.toml README.md ./
COPY recsys recsys
RUN "$VIRTUAL_ENV/bin/uv" pip install --no-deps --no-build-isolation --compile-bytecode .

FROM python:3.11-slim-bookworm
# libopenblas0 makes MLlib twice as fast.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libopenblas0 openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 50000 --gid 0 --create-home --home-dir /srv/recsys recsys
COPY --from=build /srv/venv /srv/venv
COPY --chown=50000:0 dags /srv/recsys/dags
COPY --chown=50000:0 plugins /srv/recsys/plugins
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONPATH=/srv/recsys/dags \
    PYSPARK_PYTHON=/srv/venv/bin/python \
    PYSPARK_DRIVER_PYTHON=/srv/venv/bin/python \
    SPARK_LAUNCHER_OPTS=-XX:-UsePerfData \
    AIRFLOW_HOME=/srv/recsys/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/srv/recsys/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/srv/recsys/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    GX_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    RECSYS_STATE_DIR=/srv/recsys/state \
    NUMBA_CACHE_DIR=/srv/recsys/state/numba
USER 50000:0
# Made here so that volumes mounted on them belong to the user.
RUN mkdir -p /srv/recsys/airflow/logs /srv/recsys/state
WORKDIR /srv/recsys
CMD ["airflow", "version"]

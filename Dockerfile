# One image for every process; the arguments of `cnop` say which: `gateway`, `worker accounts`, …
FROM python:3.11-slim-bookworm AS environment
RUN python -m venv /opt/cnop
COPY requirements-runtime.lock .
RUN /opt/cnop/bin/pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --no-deps -r requirements-runtime.lock

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 cnop \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin cnop \
 && install -d -o cnop -g cnop -m 0700 /var/lib/cnop /var/lib/cnop/secrets \
 && install -d -o cnop -g cnop -m 0750 \
      $(for each in broker admin operators analysts gateway identity accounts markets auth read-models auditor feed clock; do \
          echo "/var/lib/cnop/kafka/$each"; done)
COPY --from=environment /opt/cnop /opt/cnop
WORKDIR /app
COPY LICENSE ./
COPY schemas schemas
COPY runtime runtime
COPY producers producers
COPY consumers consumers
COPY read_models read_models
COPY gateway gateway
ENV PATH=/opt/cnop/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CNOP_STATE_DIR=/var/lib/cnop \
    CNOP_METRICS_HOST=0.0.0.0 \
    CNOP_METRICS_PORT=9464 \
    CNOP_GATEWAY_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8080 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=6 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/health/live', timeout=2)"]
ENTRYPOINT ["python", "-m", "runtime.cli"]

# Two images from one wheel:
#   docker build -t telco-stream .                            everything, training included
#   docker build -t telco-stream:consume --target consume .   serves the compiled model; no pandas, no scikit-learn
# With --build-arg EXTRAS=lightgbm,xgboost (extras of pyproject.toml), they serve models by these libraries, too.
ARG EXTRAS=
FROM python:3.11-slim-bookworm AS base
# ORT_DISABLE_TELEMETRY stops onnxruntime from reporting its use to Microsoft.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
# Everything that serving imports is compiled in the image: a container can't keep bytecode, so each start would compile.
RUN python -m compileall -q -x '/(test|site-packages|dist-packages)/' "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

FROM base AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY telco_stream telco_stream
COPY data/sample_customers.csv data/
COPY models/churn models/churn
RUN pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels .

# Dependencies of serving: without those of training and of the scikit-learn engine.
# The libraries' tests are a tenth of their size, and nothing imports them.
FROM base AS serving
WORKDIR /src
RUN python -m venv --without-pip /opt/venv
COPY pyproject.toml constraints.txt ./
RUN python -c "import re, tomllib; needs = tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']; \
      print(*(need for need in needs if not re.match('(joblib|pandas|scikit-learn|skl2onnx|threadpoolctl)[^a-z-]', need)), sep='\n')" >serving.txt \
 && pip --python /opt/venv/bin/python install --quiet --no-cache-dir --constraint constraints.txt --requirement serving.txt \
 && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} +
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-deps /wheels/*.whl
ARG EXTRAS
RUN [ -z "$EXTRAS" ] || { \
      python -c "import sys, tomllib; extras = tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']; \
        print(*(need for extra in sys.argv[1].split(',') for need in extras[extra]), sep='\n')" "$EXTRAS" >extras.txt \
   && pip --python /opt/venv/bin/python install --quiet --no-cache-dir --constraint constraints.txt --requirement extras.txt \
   && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} +; }

# The remaining dependencies.
FROM serving AS everything
RUN pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-compile --constraint constraints.txt /wheels/*.whl \
 && find /opt/venv/lib -type d \( -name tests -o -path '*/onnx/backend/test' \) -prune -exec rm -rf {} +

FROM base AS runtime
ARG EXTRAS
# LightGBM needs the OpenMP library of the system.
RUN case ",$EXTRAS," in *,lightgbm,*) \
      apt-get update -qq && apt-get install -qq --yes --no-install-recommends libgomp1 >/dev/null && rm -rf /var/lib/apt/lists/* ;; \
    esac
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="telco-stream" \
      org.opencontainers.image.description="Scores customer events in Kafka with a scikit-learn model, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
RUN pip uninstall --quiet --yes pip setuptools wheel \
 && useradd --system --no-log-init --uid 10001 --user-group --no-create-home --home-dir /var/lib/telco-stream telco \
 && install --directory --owner=telco --group=telco /var/lib/telco-stream /var/lib/telco-stream/checkpoints
COPY compose/image/healthcheck.py /opt/healthcheck.py
WORKDIR /var/lib/telco-stream
USER telco
# Scrapers and probes connect from outside the container.
ENV TELCO_STREAM_METRICS__HOST=*
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "/opt/healthcheck.py"]
ENTRYPOINT ["telco-stream"]
CMD ["--help"]

FROM runtime AS consume
COPY --from=serving /opt/venv /opt/venv

FROM runtime
COPY --from=everything /opt/venv /opt/venv

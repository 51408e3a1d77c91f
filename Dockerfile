# One image for every process. What a container is, is its command: the web process by default, else
# `python manage.py runscheduler`, `… runworker`, `… migrate`. Run it with an init (`docker run --init`, `init: true`), but
# for workers: their guardian does an init's work, and an init would show its environment to SHELL tasks.
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/runtime.txt /tmp/runtime.txt
RUN pip install --require-hashes --no-deps -r /tmp/runtime.txt
WORKDIR /app
COPY manage.py gunicorn.conf.py ./
COPY scheduler_project scheduler_project
COPY access_app access_app
COPY flow_app flow_app
COPY tasks_app tasks_app
COPY schedules_app schedules_app
COPY workflows_app workflows_app
COPY workers_app workers_app
COPY monitoring_app monitoring_app
COPY templates templates
# The prod profile asks for these three; nothing is signed, served or connected to here.
RUN SCHEDULER_PROFILE=prod SECRET_KEY=for-building-this-image-and-nothing-else \
    ALLOWED_HOSTS=unused DATABASE_URL=postgresql:///unused \
    python manage.py collectstatic --noinput

FROM python:3.13-slim
RUN groupadd --gid 10001 scheduler \
 && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin scheduler
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SCHEDULER_PROFILE=prod HOST=0.0.0.0 PORT=8000
WORKDIR /app
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# For the web process; switch it off for the others, as compose.yaml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('localhost', int(os.environ['PORT']), timeout=4); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "manage.py", "runweb"]

"""The HTTP side of a worker: /metrics, /healthz, /readyz."""

"""The metrics, which Prometheus' client registers."""

from prometheus_client import Counter

added = Counter("heroes_added", "How many heroes have been added.")

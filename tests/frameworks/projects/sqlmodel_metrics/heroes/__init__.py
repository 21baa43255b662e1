"""Heroes: tables that SQLModel keeps, and metrics that Prometheus' client keeps, in modules beside others."""

"""Pictures of dashboards, from the answers of a Prometheus."""

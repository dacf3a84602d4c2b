"""Rules for Prometheus and a dashboard for Grafana, made from the metrics and limits of the gates."""

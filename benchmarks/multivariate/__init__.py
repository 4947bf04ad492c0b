"""How well anomalies that no single variable shows are found, and the right variable named."""

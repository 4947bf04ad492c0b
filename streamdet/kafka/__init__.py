"""Kafka: the ports on confluent-kafka, topics at start, and an embedded broker.

The only package that imports confluent_kafka; nothing of it leaves here, errors included
(`faults` turns each into one of `streamdet.errors`).
"""

"""Anomalies of many variables together: training, models kept on disk, detection.

    source -> data -> train -> model -> infer        operations: Azure's requests and answers
                                 |
                               store

No HTTP and no Kafka in here: the server hands in JSON bytes and a callable that reads a topic.
"""

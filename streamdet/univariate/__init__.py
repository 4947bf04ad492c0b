"""Batch detection: whole series in, verdicts out, by the method of Azure AI Anomaly Detector.

A view of the whole series, two-sided: not the streaming kernels run over history. The way of a
request is read from top to bottom in `operations`. scipy and statsmodels come with an extra
(`pip install "streamdet[univariate]"`) and are imported when a request needs them.
"""

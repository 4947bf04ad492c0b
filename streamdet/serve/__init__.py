"""`streamdet serve`: the HTTP API in the words of Azure AI Anomaly Detector, and series kept here.

server -> protocol        the process: sockets, signals, slow clients
   |
application -> access     a request: who asks, how much, the body, the answer, the log line
   |        -> body
catalogue -> schemas      the one table of operations, which openapi makes a document of
   |
univariate | multivariate | data | series     what each operation does
   |
  pool                    where it is done: never on the event loop
"""

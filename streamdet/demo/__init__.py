"""`streamdet demo`: the main job on an embedded broker, with anomalies whose place is known.

An ordinary producer feeds a made-up fleet of series, the ordinary worker (`streamdet run`) judges
them, an ordinary consumer reads the events back; the summary compares them with what was hidden.
Nothing here is on a path that the worker does not have anywhere else.
"""

from streamdet.demo.play import run

__all__ = ["run"]

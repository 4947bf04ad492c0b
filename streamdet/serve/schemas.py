"""JSON Schemas of bodies, by Azure's names for them; the document's components.

They say what a client may rely on, and are looser than the checks where a schema cannot say more:
that timestamps ascend, or that they lie on a grid.
"""

from __future__ import annotations

from typing import Any

from streamdet.univariate.request import POINTS_MAX, POINTS_MIN

Schema = dict[str, Any]

_BOOLEAN: Schema = {"type": "boolean"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MARGIN: Schema = {"type": "number", "minimum": 0}
_SEVERITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_INT32_MAX = 2**31 - 1


def ref(name: str) -> Schema:
    """Return a reference to one of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: Schema, **more: object) -> Schema:
    return {"type": "array", "items": of, **more}


def _or_null(schema: Schema) -> Schema:
    """A field that may be null, which is as if it were absent."""
    return {"anyOf": [schema, {"type": "null"}]}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def _enum(*names: str) -> Schema:
    return {"type": "string", "enum": list(names)}


_GRANULARITY = _enum(
    "yearly", "monthly", "weekly", "daily", "hourly", "minutely", "secondly", "microsecond", "none"
)
_SERIES = _list(ref("TimeSeriesPoint"), minItems=POINTS_MIN, maxItems=POINTS_MAX)
_PERIOD: Schema = {"type": "integer", "minimum": 0, "maximum": _INT32_MAX}
_CUSTOM_INTERVAL: Schema = {"type": "integer", "minimum": 1, "maximum": _INT32_MAX}
_OPTIONS_V1_0 = {
    "granularity": _or_null(_GRANULARITY),
    "customInterval": _or_null(_CUSTOM_INTERVAL),
    "period": _or_null(_PERIOD),
    "maxAnomalyRatio": _or_null(
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5, "default": 0.25}
    ),
    "sensitivity": _or_null({"type": "integer", "minimum": 0, "maximum": 100, "default": 99}),
}
_OPTIONS_V1_1 = {
    **_OPTIONS_V1_0,
    "imputeMode": _or_null(_enum("auto", "previous", "linear", "fixed", "zero", "notFill")),
    "imputeFixedValue": {},
    "boundaryVersion": _or_null(_enum("V1", "V2", "V3")),
}
_ENTIRE = {
    "period": _INTEGER,
    "expectedValues": _list(_NUMBER),
    "upperMargins": _list(_MARGIN),
    "lowerMargins": _list(_MARGIN),
    "isAnomaly": _list(_BOOLEAN),
    "isNegativeAnomaly": _list(_BOOLEAN),
    "isPositiveAnomaly": _list(_BOOLEAN),
}
_LAST = {
    "period": _INTEGER,
    "suggestedWindow": _INTEGER,
    "expectedValue": _NUMBER,
    "upperMargin": _MARGIN,
    "lowerMargin": _MARGIN,
    "isAnomaly": _BOOLEAN,
    "isNegativeAnomaly": _BOOLEAN,
    "isPositiveAnomaly": _BOOLEAN,
}

_STATUS = _enum("CREATED", "RUNNING", "READY", "FAILED")
_SOURCE: Schema = {"type": "string", "minLength": 1, "maxLength": 2048}
_TOP = _or_null({"type": "integer", "minimum": 1, "maximum": 30, "default": 10})
_ALIGN_POLICY = _object(
    {},
    {
        "alignMode": _or_null({**_enum("Inner", "Outer"), "default": "Outer"}),
        "fillNAMethod": _or_null(
            {**_enum("Previous", "Subsequent", "Linear", "Zero", "Fixed"), "default": "Linear"}
        ),
        "paddingValue": _or_null(_NUMBER),
    },
)
_TRAINING = {"dataSource": _SOURCE, "startTime": _TIME, "endTime": _TIME}

_HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_KEPT = {
    "id": _HASH,
    "metric": _TEXT,
    "dimensions": {"type": "object", "additionalProperties": _TEXT},
    "lastTimestamp": _or_null(_TIME),
}
_INCIDENT_STATE: Schema = {"enum": ["onset", "ongoing", "recovered", None]}

COMPONENTS: dict[str, Schema] = {
    "Error": _object({"code": _TEXT, "message": _TEXT}),
    "TimeSeriesPoint": _object({"value": _NUMBER}, {"timestamp": _or_null(_TIME)}),
    "UnivariateDetectionOptionsV10": _object({"series": _SERIES}, _OPTIONS_V1_0),
    "UnivariateDetectionOptions": _object({"series": _SERIES}, _OPTIONS_V1_1),
    "UnivariateChangePointDetectionOptions": _object(
        {"series": _SERIES, "granularity": _GRANULARITY},
        {
            "customInterval": _or_null(_CUSTOM_INTERVAL),
            "period": _or_null(_PERIOD),
            "stableTrendWindow": _or_null({"type": "integer", "minimum": 3}),
            "threshold": _or_null(
                {"type": "number", "minimum": 0.01, "maximum": 0.99, "default": 0.9}
            ),
        },
    ),
    "UnivariateEntireDetectionResultV10": _object(_ENTIRE),
    "UnivariateEntireDetectionResult": _object({**_ENTIRE, "severity": _list(_SEVERITY)}),
    "UnivariateLastDetectionResultV10": _object(_LAST),
    "UnivariateLastDetectionResult": _object({**_LAST, "severity": _SEVERITY}),
    "UnivariateChangePointDetectionResult": _object(
        {
            "period": _INTEGER,
            "isChangePoint": _list(_BOOLEAN),
            "confidenceScores": _list(_SEVERITY),
        }
    ),
    "AlignPolicy": _ALIGN_POLICY,
    "ModelRequest": _object(
        _TRAINING,
        {
            "dataSchema": _or_null({**_enum("OneTable", "MultiTable"), "default": "OneTable"}),
            "displayName": _or_null({"type": "string", "maxLength": 24}),
            "slidingWindow": _or_null(
                {"type": "integer", "minimum": 28, "maximum": 2880, "default": 300}
            ),
            "alignPolicy": _or_null(ref("AlignPolicy")),
        },
    ),
    "VariableState": _object(
        {"variable": _TEXT},
        {
            "filledNARatio": _SEVERITY,
            "effectiveCount": _INTEGER,
            "firstTimestamp": _or_null(_TIME),
            "lastTimestamp": _or_null(_TIME),
        },
    ),
    "ModelInfo": _object(
        {**_TRAINING, "status": _STATUS, "errors": _list(ref("Error"))},
        {
            "dataSchema": _TEXT,
            "displayName": _TEXT,
            "slidingWindow": _INTEGER,
            "alignPolicy": ref("AlignPolicy"),
            "diagnosticsInfo": {"type": "object"},
        },
    ),
    "AnomalyDetectionModel": _object(
        {
            "modelId": _TEXT,
            "createdTime": _TIME,
            "lastUpdatedTime": _TIME,
            "modelInfo": ref("ModelInfo"),
        }
    ),
    "ModelList": _object(
        {
            "models": _list(ref("AnomalyDetectionModel")),
            "currentCount": _INTEGER,
            "maxCount": _INTEGER,
            "nextLink": _TEXT,
        }
    ),
    "MultivariateBatchDetectionOptions": _object(_TRAINING, {"topContributorCount": _TOP}),
    "AnomalyInterpretation": _object(
        {"variable": _TEXT, "contributionScore": _SEVERITY},
        {"correlationChanges": _object({"changedVariables": _list(_TEXT)})},
    ),
    "AnomalyState": _object(
        {"timestamp": _TIME},
        {
            "value": _object(
                {
                    "isAnomaly": _BOOLEAN,
                    "severity": _SEVERITY,
                    "score": {"type": "number", "minimum": 0, "maximum": 2},
                },
                {"interpretation": _list(ref("AnomalyInterpretation"))},
            ),
            "errors": _list(ref("Error")),
        },
    ),
    "MultivariateDetectionResult": _object(
        {
            "resultId": _TEXT,
            "summary": _object(
                {
                    "status": _STATUS,
                    "errors": _list(ref("Error")),
                    "variableStates": _list(ref("VariableState")),
                    "setupInfo": ref("MultivariateBatchDetectionOptions"),
                }
            ),
            "results": _list(ref("AnomalyState")),
        }
    ),
    "DataFile": _object({"dataSource": _TEXT, "sizeBytes": {"type": "integer", "minimum": 0}}),
    "DataFileList": _object({"files": _list(ref("DataFile"))}),
    "VariableValues": _object(
        {"timestamps": _list(_TIME), "values": _list(_or_null(_NUMBER))},
        {"variable": _TEXT, "name": _TEXT},
    ),
    "MultivariateLastDetectionOptions": _object(
        {"variables": _list(ref("VariableValues"))}, {"topContributorCount": _TOP}
    ),
    "MultivariateLastDetectionResult": _object(
        {
            "variableStates": _list(ref("VariableState")),
            "results": _list(ref("AnomalyState")),
        }
    ),
    "Point": {
        **_object(
            {"value": _NUMBER},
            {
                "timestamp": {"anyOf": [_TIME, _INTEGER]},
                "dimensions": {"type": "object", "additionalProperties": _TEXT},
            },
        ),
        "additionalProperties": False,
    },
    "Event": {  # docs/event.schema.json says it at length
        **_object(
            {
                "id": _HASH,
                "metric": _TEXT,
                "dimensions": {"type": "object", "additionalProperties": _TEXT},
                "timestamp": _TIME,
                "value": _or_null(_NUMBER),
                "expectedValue": _or_null(_NUMBER),
                "upperMargin": _or_null(_MARGIN),
                "lowerMargin": _or_null(_MARGIN),
                "upperBoundary": _or_null(_NUMBER),
                "lowerBoundary": _or_null(_NUMBER),
                "isAnomaly": _BOOLEAN,
                "isPositiveAnomaly": _BOOLEAN,
                "isNegativeAnomaly": _BOOLEAN,
                "severity": _SEVERITY,
                "score": _or_null(_MARGIN),
                "incident": _or_null(_HASH),
                "state": _INCIDENT_STATE,
                "sensitivity": _INTEGER,
                "period": _INTEGER,
                "detector": _TEXT,
                "status": _enum("ok", "warming", "incomplete", "absent"),
                "source": {"type": "object"},
            },
            {"transform": _TEXT, "aggregate": _TEXT},
        ),
        "additionalProperties": False,
    },
    "Pending": _object({"status": {"const": "pending"}}),
    "SeriesInfo": _object(_KEPT),
    "SeriesList": _object({"series": _list(ref("SeriesInfo")), "nextLink": _TEXT}),
    "RecentVerdict": _object(
        {
            "timestamp": _TIME,
            "value": _or_null(_NUMBER),
            "expectedValue": _or_null(_NUMBER),
            "upperBoundary": _or_null(_NUMBER),
            "lowerBoundary": _or_null(_NUMBER),
            "isAnomaly": _BOOLEAN,
            "severity": _SEVERITY,
            "score": _or_null(_MARGIN),
            "state": _INCIDENT_STATE,
        }
    ),
    "SeriesVerdicts": _object({**_KEPT, "verdicts": _list(ref("RecentVerdict"))}),
}

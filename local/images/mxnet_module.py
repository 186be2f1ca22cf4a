"""The artifact of AWS's linear learner: a zip, `model_algo-1`, with an MXNet module.

Its files are those that public write-ups show of real artifacts; the arrays are in the format of
MXNet 1.x (`mx.nd.save`), the graph as `Symbol.tojson` writes it. A test holds the bytes against
a file that MXNet 1.9.1 itself wrote.
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
LIST_MAGIC, ARRAY_MAGIC = 0x112, 0xF993FAC9
CPU, FLOAT32 = 1, 0
OUTPUTS = {
    "binary_classifier": "LogisticRegressionOutput",
    "multiclass_classifier": "SoftmaxOutput",
    "regressor": "LinearRegressionOutput",
}
EPOCH = (1980, 1, 1, 0, 0, 0)


def parameters(arrays: Mapping[str, Array]) -> bytes:
    """Named arrays as `mx.nd.save` writes them, in 32-bit floats."""
    parts = [struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        shape = array.shape
        parts.append(struct.pack("<IiI", ARRAY_MAGIC, 0, len(shape)))
        parts.append(struct.pack(f"<{len(shape)}q", *shape))
        parts.append(struct.pack("<iii", CPU, 0, FLOAT32))
        parts.append(np.ascontiguousarray(array, dtype="<f4").tobytes())
    parts.append(struct.pack("<Q", len(arrays)))
    for name in arrays:
        parts.append(struct.pack("<Q", len(name)) + name.encode())
    return b"".join(parts)


def symbol(predictor: str, outputs: int) -> dict[str, Any]:
    """The graph: one fully connected layer and what makes a prediction of it."""
    width = {"attrs": {"num_hidden": str(outputs)}}
    nodes = [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "null", "name": "fc0_weight", **width, "inputs": []},
        {"op": "null", "name": "fc0_bias", **width, "inputs": []},
        {"op": "FullyConnected", "name": "fc0", **width, "inputs": [[i, 0, 0] for i in range(3)]},
        {"op": "null", "name": "out_label", "inputs": []},
        {"op": OUTPUTS[predictor], "name": "out", "inputs": [[3, 0, 0], [4, 0, 0]]},
    ]
    return {
        "nodes": nodes,
        "arg_nodes": [0, 1, 2, 4],
        "node_row_ptr": list(range(len(nodes) + 1)),
        "heads": [[len(nodes) - 1, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }


def artifact(predictor: str, weights: Array, bias: Array) -> bytes:
    """The zip; `weights` has the shape (outputs, columns)."""
    arrays = {"arg:fc0_weight": weights, "arg:fc0_bias": bias}
    details = {"num_label": 1, "predictor_type": predictor, "feature_dim": weights.shape[1]}
    files = {
        "additional-params.json": json.dumps(details).encode(),
        "manifest.json": json.dumps({"symbol": "mx-mod-symbol.json"}).encode(),
        "mx-mod-symbol.json": json.dumps(symbol(predictor, len(weights)), indent=2).encode(),
        "mx-mod-0000.params": parameters(arrays),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
    return packed.getvalue()

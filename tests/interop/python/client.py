"""Makes one call with grpcio and prints what comes back, as lines of JSON.

usage: client.py STUBS CALL    STUBS: folder of the generated modules, CALL: JSON, see harness/client-program.ts
"""

import importlib
import json
import sys

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401 (registers the messages that errors carry)
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from google.protobuf.descriptor_pool import DescriptorPool

MODULES = {
    "agentx.engine.v1.EngineService": "agentx.engine.v1.engine_service",
    "agentx.session.v1.SessionStoreService": "agentx.session.v1.session_service",
    "agentx.stats.v1.StatisticsStoreService": "agentx.stats.v1.stats_service",
    "agentx.state.v1.StateStoreService": "agentx.state.v1.state_service",
}


def say(**line):
    print(json.dumps(line), flush=True)


def as_json(message):
    return json_format.MessageToDict(message)


def open_channel(call):
    options = [("grpc.max_receive_message_length", -1)]
    if "keepaliveMs" in call:
        options += [
            ("grpc.keepalive_time_ms", call["keepaliveMs"]),
            ("grpc.keepalive_timeout_ms", 5000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
    return grpc.insecure_channel(call["target"], options)


def invoke(call, channel):
    """Calls a method through its generated stub and yields its answers."""
    module = MODULES[call["service"]]
    messages = importlib.import_module(module + "_pb2")
    services = importlib.import_module(module + "_pb2_grpc")
    name = call["service"].rsplit(".", 1)[1]
    method = messages.DESCRIPTOR.services_by_name[name].methods_by_name[call["method"]]
    stub = getattr(services, name + "Stub")(channel)
    request = json_format.ParseDict(call["request"], getattr(messages, method.input_type.name)())
    options = {"metadata": list(call.get("headers", {}).items())}
    if "timeoutMs" in call:
        options["timeout"] = call["timeoutMs"] / 1000
    answer = getattr(stub, call["method"])(request, **options)
    if not method.server_streaming:
        say(message=as_json(answer))
        return
    for count, message in enumerate(answer, 1):
        say(message=as_json(message))
        if count == call.get("cancelAfter"):
            answer.cancel()


def describe(call, channel):
    """Learns all services by reflection, which grpcio speaks as v1alpha, and prints each with its methods."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    for name in database.get_services():
        methods = [method.name for method in pool.FindServiceByName(name).methods]
        say(message={name: methods})


def main(stubs, call):
    sys.path.insert(0, stubs)
    importlib.import_module("buf.validate.validate_pb2")
    with open_channel(call) as channel:
        try:
            (describe if call.get("describe") else invoke)(call, channel)
            say(status={"code": "OK"})
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            details = as_json(status).get("details", []) if status else []
            say(status={"code": error.code().name, "message": error.details(), "details": details})


main(sys.argv[1], json.loads(sys.argv[2]))

"""Brings a recorded call to patchbay by patchbay.ingest.v1 and prints what comes back.

    pip install grpcio grpcio-tools
    python -m grpc_tools.protoc -I ../../adapters/native/proto --python_out . \
        patchbay/ingest/v1/ingest.proto
    PATCHBAY_TOKEN=... python client.py --address 127.0.0.1:8443 --call 4711 --wav call.wav

Debian's packages do as well: python3-grpcio, python3-protobuf and protobuf-compiler, whose
protoc takes the same arguments. The one method is called by its name below, so that no
other code is generated.
"""

import argparse
import os
import sys
import time
import wave

import grpc

from patchbay.ingest.v1 import ingest_pb2 as ingest

STEP = 0.1  # seconds of audio in a message
METHOD = "/patchbay.ingest.v1.Ingest/Stream"


def requests(o):
    """Says which call it is and who speaks, then the audio as it would come."""
    with wave.open(o.wav) as w:
        if w.getsampwidth() != 2:
            sys.exit("want a recording of 16 bits")
        rate, channels = w.getframerate(), w.getnchannels()
        yield ingest.StreamRequest(open=ingest.Open(call=o.call, results=True, attributes={"source": "ingest-python"}))
        speakers = [("customer", ingest.ROLE_CUSTOMER), ("agent", ingest.ROLE_AGENT)][:channels]
        for name, role in speakers:
            yield ingest.StreamRequest(
                track=ingest.Track(track=name, role=role, encoding=ingest.ENCODING_LINEAR16, sample_rate_hertz=rate)
            )
        due = time.monotonic()
        while audio := w.readframes(int(rate * STEP)):
            for i, (name, _) in enumerate(speakers):
                one = b"".join(audio[j : j + 2] for j in range(2 * i, len(audio), 2 * channels))
                yield ingest.StreamRequest(audio=ingest.Audio(track=name, payload=one))
            due += STEP / o.speed
            time.sleep(max(0.0, due - time.monotonic()))
    # The end of the requests half-closes the stream, which is the goodbye.


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--address", default="127.0.0.1:8443")
    p.add_argument("--tls", action="store_true")
    p.add_argument("--call", required=True)
    p.add_argument("--wav", required=True, help="the customer left, the agent right, 16 bits")
    p.add_argument("--speed", type=float, default=1.0, help="times real time")
    o = p.parse_args()
    token = os.environ.get("PATCHBAY_TOKEN", "")  # never on a command line

    if o.tls:
        channel = grpc.secure_channel(o.address, grpc.ssl_channel_credentials())
    else:
        channel = grpc.insecure_channel(o.address)
    with channel:
        stream = channel.stream_stream(
            METHOD,
            request_serializer=ingest.StreamRequest.SerializeToString,
            response_deserializer=ingest.StreamResponse.FromString,
        )
        for m in stream(requests(o), metadata=[("authorization", "Bearer " + token)]):
            kind = m.WhichOneof("response")
            if kind == "transcript" and m.transcript.final:
                t = m.transcript
                print(f"{t.track:8} {t.offset.ToTimedelta().total_seconds():6.1f}s  {t.text}")
            elif kind == "suggestion":
                print(f"  suggestion ({m.suggestion.feature}): {m.suggestion.title}")
            elif kind == "problem":
                print(f"  problem: {m.problem.text}")
            elif kind == "closed":
                for r in m.closed.received:
                    print(f"  patchbay has {r.samples} samples of {r.track}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as e:
        sys.exit(f"{e.code().name}: {e.details()}")

# grpcio: eight callers on one channel. Usage: client.py ADDRESS SECONDS [health]
import collections, sys, threading, time
import grpc

options = []
if sys.argv[3:] == ["health"]:
    options.append(("grpc.service_config", '{"healthCheckConfig":{"serviceName":""},"loadBalancingConfig":[{"round_robin":{}}]}'))
channel = grpc.insecure_channel(sys.argv[1], options)
unary = channel.unary_unary("/grpc.testing.TestService/UnaryCall")
end, calls, lost = time.time() + float(sys.argv[2]), [0] * 8, collections.Counter()


def call(i):
    while time.time() < end:
        calls[i] += 1
        try:
            unary(b"", timeout=10)
        except grpc.RpcError as e:
            lost[f"{e.code().name} {e.details()}"[:100]] += 1
        time.sleep(0.002)


callers = [threading.Thread(target=call, args=(i,)) for i in range(8)]
[c.start() for c in callers]
[c.join() for c in callers]
print("calls", sum(calls))
for what, n in lost.items():
    print("lost", n, what)

// grpc-java: eight callers on one channel. Usage: Client ADDRESS SECONDS
import io.grpc.*;
import io.grpc.stub.ClientCalls;
import java.io.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;

public class Client {
  static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<byte[]>() {
    public InputStream stream(byte[] b) { return new ByteArrayInputStream(b); }
    public byte[] parse(InputStream in) {
      try { return in.readAllBytes(); } catch (IOException e) { throw new UncheckedIOException(e); }
    }
  };

  public static void main(String[] args) throws Exception {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(args[0]).usePlaintext().build();
    MethodDescriptor<byte[], byte[]> unary = MethodDescriptor.newBuilder(BYTES, BYTES)
        .setType(MethodDescriptor.MethodType.UNARY).setFullMethodName("grpc.testing.TestService/UnaryCall").build();
    long end = System.nanoTime() + (long) (Double.parseDouble(args[1]) * 1e9);
    AtomicInteger calls = new AtomicInteger();
    ConcurrentHashMap<String, Integer> lost = new ConcurrentHashMap<>();
    Thread[] callers = new Thread[8];
    for (int i = 0; i < callers.length; i++) {
      callers[i] = new Thread(() -> {
        while (System.nanoTime() < end) {
          calls.incrementAndGet();
          try {
            ClientCalls.blockingUnaryCall(channel, unary, CallOptions.DEFAULT.withDeadlineAfter(10, TimeUnit.SECONDS), new byte[0]);
          } catch (StatusRuntimeException e) {
            lost.merge(e.getStatus().getCode() + " " + e.getStatus().getDescription(), 1, Integer::sum);
          }
          try { Thread.sleep(2); } catch (InterruptedException e) { return; }
        }
      });
      callers[i].start();
    }
    for (Thread caller : callers) caller.join();
    System.out.println("calls " + calls.get());
    lost.forEach((what, n) -> System.out.println("lost " + n + " " + what.replace('\n', ' ')));
    System.exit(0);
  }
}

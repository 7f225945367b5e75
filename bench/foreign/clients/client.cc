// gRPC C++: eight callers on one channel. Usage: client ADDRESS SECONDS
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  using Clock = std::chrono::system_clock;
  auto channel = grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  auto end = Clock::now() + std::chrono::milliseconds(static_cast<int>(std::stod(argv[2]) * 1000));
  std::atomic<int> calls{0};
  std::map<std::string, int> lost;
  std::mutex mu;
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; i++) {
    callers.emplace_back([&] {
      grpc::GenericStub stub(channel);
      while (Clock::now() < end) {
        calls++;
        grpc::ClientContext context;
        context.set_deadline(Clock::now() + std::chrono::seconds(10));
        grpc::CompletionQueue queue;
        grpc::Slice nothing("");
        grpc::ByteBuffer request(&nothing, 1), response;
        grpc::Status status;
        void* tag;
        bool ok;
        auto call = stub.PrepareUnaryCall(&context, "/grpc.testing.TestService/UnaryCall", request, &queue);
        call->StartCall();
        call->Finish(&response, &status, nullptr);
        queue.Next(&tag, &ok);
        if (!status.ok()) {
          std::lock_guard<std::mutex> lock(mu);
          lost[std::to_string(status.error_code()) + " " + status.error_message()]++;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  }
  for (auto& caller : callers) caller.join();
  std::cout << "calls " << calls << "\n";
  for (auto& [what, n] : lost) std::cout << "lost " << n << " " << what << "\n";
}

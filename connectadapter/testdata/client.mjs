// Makes a unary RPC and a stream over each protocol, and prints with which code each ends.
//
//	node client.mjs http://127.0.0.1:1234 descriptors.bin
//
// It says "begun" when the stream has had its message, for each protocol.
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';

const [baseUrl, descriptors] = process.argv.slice(2);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const service = registry.getService('grpc.testing.TestService');
const codeOf = (err) => Code[ConnectError.from(err).code];

const makers = { connect: createConnectTransport, grpc: createGrpcTransport, 'grpc-web': createGrpcWebTransport };
const all = Object.entries(makers).map(async ([name, make]) => {
  const client = createClient(service, make({ baseUrl, httpVersion: '2' }));
  const unary = client.unaryCall({}).then(() => 'OK', codeOf);
  const stream = (async () => {
    try {
      for await (const _ of client.streamingOutputCall({})) console.log('begun');
      return 'OK';
    } catch (err) {
      return codeOf(err);
    }
  })();
  console.log(`${name} unary ${await unary}`);
  console.log(`${name} stream ${await stream}`);
});
await Promise.all(all);
process.exit(0);

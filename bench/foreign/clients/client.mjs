// grpc-js: eight callers on one channel. Usage: client.mjs ADDRESS SECONDS [noretries]
import grpc from '@grpc/grpc-js';

const [address, seconds, retries] = process.argv.slice(2);
const options = retries === 'noretries' ? { 'grpc.enable_retries': 0 } : {};
const client = new grpc.Client(address, grpc.credentials.createInsecure(), options);
const end = Date.now() + 1000 * seconds;
const empty = (b) => b;
const lost = new Map();
let calls = 0;

const call = () =>
  new Promise((done) => {
    calls++;
    const deadline = Date.now() + 10000;
    client.makeUnaryRequest('/grpc.testing.TestService/UnaryCall', empty, empty, Buffer.alloc(0), new grpc.Metadata(), { deadline }, (err) => {
      if (err) {
        const what = `${grpc.status[err.code]} ${err.details}`.slice(0, 100);
        lost.set(what, (lost.get(what) ?? 0) + 1);
      }
      setTimeout(done, 2);
    });
  });
await Promise.all(Array.from({ length: 8 }, async () => {
  while (Date.now() < end) await call();
}));
console.log('calls', calls);
for (const [what, n] of lost) console.log('lost', n, what);
process.exit(0);

// The function of every program that is compared: answers Lambda's Invoke API and counts the records that arrive.
// GET /seen tells the counts; times are milliseconds since the epoch. Usage: node function_host.mjs PORT
import { createServer } from 'node:http';

const records = new Set();
const seen = { unique: 0, twice: 0, invocations: 0, first: 0, last: 0 };

function invoked(payload) {
  const now = performance.timeOrigin + performance.now();
  seen.first ||= now;
  seen.last = now;
  seen.invocations += 1;
  for (const record of JSON.parse(payload).Records) {
    const id = record.messageId ?? record.kinesis.sequenceNumber;
    if (records.has(id)) seen.twice += 1;
    records.add(id);
  }
  seen.unique = records.size;
  return {};
}

const configuration = {
  FunctionName: 'worker',
  FunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:worker',
  Role: 'arn:aws:iam::000000000000:role/worker',
  Timeout: 30,
  Version: '$LATEST',
  State: 'Active',
  LastUpdateStatus: 'Successful',
};

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    let answer = seen;
    if (request.url.includes('/invocations')) answer = invoked(Buffer.concat(chunks).toString());
    else if (request.url.includes('/configuration')) answer = configuration;
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
});
server.keepAliveTimeout = 0; // a connection that closes while a caller writes would look like a failed invocation
server.listen(Number(process.argv[2]), '127.0.0.1');
